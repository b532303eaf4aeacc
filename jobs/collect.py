"""Record order books of the exchange: `kalshi-ray collect` as a job for a cluster, with the same options.

ray job submit --working-dir . -- python jobs/collect.py --discover --shards 4 --store s3://bucket/sessions
"""

from __future__ import annotations

import sys

from kalshi_ray.cli import main

if __name__ == "__main__":
    main(["collect", *sys.argv[1:]])
