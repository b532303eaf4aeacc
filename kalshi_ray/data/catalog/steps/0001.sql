-- Sessions, their pieces, and rows as tables. {schema} stands for the schema's name.
-- The BRIN indexes rely on what writers do: the rows of a part are sent sorted by market.

CREATE TABLE {schema}.schema_version (
    version int PRIMARY KEY,
    what text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {schema}.schema_version IS 'kalshi_ray: the steps this schema went through; the greatest version counts';

CREATE TABLE {schema}.sessions (
    number int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE
);
COMMENT ON TABLE {schema}.sessions IS 'Every session, finished or not: one continuous recording of some markets';
COMMENT ON COLUMN {schema}.sessions.number IS 'What the other tables call it; updates_<number> holds its updates';
COMMENT ON COLUMN {schema}.sessions.id IS 'What people call it';

CREATE TABLE {schema}.pieces (
    session int NOT NULL REFERENCES {schema}.sessions ON DELETE CASCADE,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('document', 'blob', 'table')),
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    content bytea,
    call uuid NOT NULL,
    written timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session, name),
    CHECK ((kind = 'table') = (content IS NULL))
);
ALTER TABLE {schema}.pieces ALTER content SET STORAGE EXTERNAL;
COMMENT ON TABLE {schema}.pieces IS 'What sessions consist of. A piece and its rows are written in one transaction';
COMMENT ON COLUMN {schema}.pieces.name IS 'session.json is the manifest: a session without one is not finished';
COMMENT ON COLUMN {schema}.pieces.kind IS 'document and blob: in content; table: its rows are in markets, updates or truth';
COMMENT ON COLUMN {schema}.pieces.bytes IS 'Of the content; of a table: of its rows in the form that sha256 is of';
COMMENT ON COLUMN {schema}.pieces.sha256 IS 'Of the content; of a table: of its rows in order, columns packed, little-endian';
COMMENT ON COLUMN {schema}.pieces.content IS 'raw/*.jsonl.zst: frames as received, zstd; documents: JSON';
COMMENT ON COLUMN {schema}.pieces.call IS 'The call that wrote it: how a writer whose connection broke knows its own work';

CREATE TABLE {schema}.markets (
    session int NOT NULL REFERENCES {schema}.sessions ON DELETE CASCADE,
    market int NOT NULL,
    ticker text NOT NULL,
    event text NOT NULL,
    series text NOT NULL,
    category text NOT NULL,
    price_ranges jsonb NOT NULL,
    fee_type text NOT NULL,
    fee_multiplier double precision NOT NULL,
    open_ns bigint NOT NULL,
    close_ns bigint NOT NULL,
    status smallint NOT NULL,
    PRIMARY KEY (session, market)
);
CREATE INDEX ON {schema}.markets (ticker);
COMMENT ON TABLE {schema}.markets IS 'Markets of a session as known at their first update; later changes are rows of updates';
COMMENT ON COLUMN {schema}.markets.market IS 'Number of the market in the session: updates.market';
COMMENT ON COLUMN {schema}.markets.price_ranges IS 'The price grid: start, end and step in pips ($0.0001)';
COMMENT ON COLUMN {schema}.markets.open_ns IS 'Nanoseconds since 1970 UTC; 0 unknown';
COMMENT ON COLUMN {schema}.markets.close_ns IS 'Scheduled close, nanoseconds since 1970 UTC; 0 unknown';
COMMENT ON COLUMN {schema}.markets.status IS
    '0 initialized, 1 active, 2 inactive, 3 closed, 4 determined, 5 disputed, 6 amended, 7 finalized';

CREATE TABLE {schema}.updates (
    recv_ns bigint NOT NULL,
    exch_ns bigint NOT NULL,
    seq bigint NOT NULL,
    size bigint NOT NULL,
    session int NOT NULL,
    part int NOT NULL,
    ordinal int NOT NULL,
    market int NOT NULL,
    sid int NOT NULL,
    price int NOT NULL,
    kind smallint NOT NULL,
    side smallint NOT NULL,
    taker smallint NOT NULL,
    flags smallint NOT NULL
) PARTITION BY LIST (session);
CREATE INDEX updates_part_market ON {schema}.updates USING brin (part, market) WITH (pages_per_range = 16);
COMMENT ON TABLE {schema}.updates IS
    'All that was received, one partition a session. Order of arrival is (part, ordinal), never that of the table';
COMMENT ON COLUMN {schema}.updates.recv_ns IS 'When it was received, nanoseconds since 1970 UTC';
COMMENT ON COLUMN {schema}.updates.exch_ns IS 'When it happened on the exchange, nanoseconds since 1970 UTC; 0 unknown';
COMMENT ON COLUMN {schema}.updates.seq IS 'Sequence number on the subscription; 0 unknown';
COMMENT ON COLUMN {schema}.updates.size IS
    'Lots of 0.01 contract: absolute for snapshot levels, signed for deltas; other kinds: see the table kinds';
COMMENT ON COLUMN {schema}.updates.session IS 'sessions.number';
COMMENT ON COLUMN {schema}.updates.part IS 'Piece updates/part-<part>.parquet';
COMMENT ON COLUMN {schema}.updates.ordinal IS 'Row in its part, from 0 without a hole';
COMMENT ON COLUMN {schema}.updates.market IS 'markets.market; -1: every market of the subscription';
COMMENT ON COLUMN {schema}.updates.sid IS 'Subscription; 0 unknown';
COMMENT ON COLUMN {schema}.updates.price IS 'Pips of $0.0001 on the YES side: a NO bid at p is a YES ask at $1 - p';
COMMENT ON COLUMN {schema}.updates.kind IS 'See the table kinds';
COMMENT ON COLUMN {schema}.updates.side IS '0 bid, 1 ask, of YES; -1 none';
COMMENT ON COLUMN {schema}.updates.taker IS 'Of a trade: 0 the taker bought YES, 1 sold YES; -1 unknown';
COMMENT ON COLUMN {schema}.updates.flags IS '1: block trade';

CREATE TABLE {schema}.truth (
    recv_ns bigint NOT NULL,
    exch_ns bigint NOT NULL,
    p double precision NOT NULL,
    session int NOT NULL,
    part int NOT NULL,
    ordinal int NOT NULL,
    market int NOT NULL,
    signal smallint NOT NULL
) PARTITION BY LIST (session);
CREATE INDEX truth_part_market ON {schema}.truth USING brin (part, market) WITH (pages_per_range = 16);
COMMENT ON TABLE {schema}.truth IS 'The true probability after every update; synthetic sessions only';
COMMENT ON COLUMN {schema}.truth.p IS 'Probability that YES pays';
COMMENT ON COLUMN {schema}.truth.signal IS 'Planted: -1, 0, 1';

CREATE TABLE {schema}.kinds (
    kind smallint PRIMARY KEY,
    name text NOT NULL,
    price text NOT NULL,
    size text NOT NULL
);
COMMENT ON TABLE {schema}.kinds IS 'What updates.kind means, and what price and size are in such a row';
INSERT INTO {schema}.kinds VALUES
    (1, 'SNAPSHOT_LEVEL', 'pips', 'lots at that price'),
    (2, 'SNAPSHOT_END', '0', '0: the book is whole'),
    (3, 'DELTA', 'pips', 'change in lots'),
    (4, 'TRADE', 'pips', 'lots'),
    (5, 'GAP', '0', 'cause: 1 sequence, 2 silence, 3 reconnect, 4 recorder; the book is unknown until SNAPSHOT_END'),
    (6, 'STATUS', '0', 'as markets.status'),
    (7, 'SCHEDULE', '0', 'scheduled close, nanoseconds since 1970 UTC'),
    (8, 'GRID', '0', 'entry of the manifest''s grids'),
    (9, 'FEE', 'maker rate, millionths', 'taker rate, millionths'),
    (10, 'SETTLEMENT', 'what YES pays, pips', '0'),
    (11, 'SIGNAL', 'entry of the manifest''s signals', 'value, millionths');

CREATE VIEW {schema}.recordings AS
SELECT s.id AS session,
       s.number,
       m.manifest ->> 'source' AS source,
       m.manifest ->> 'environment' AS environment,
       m.manifest IS NOT NULL AS finished,
       sum(p.rows) FILTER (WHERE p.name = 'markets.parquet') AS markets,
       coalesce(sum(p.rows) FILTER (WHERE p.name LIKE 'updates/%'), 0) AS updates,
       timestamptz 'epoch' + (m.manifest ->> 'first_ns')::bigint / 1000 * interval '1 microsecond' AS first_received,
       timestamptz 'epoch' + (m.manifest ->> 'last_ns')::bigint / 1000 * interval '1 microsecond' AS last_received
FROM {schema}.sessions s
LEFT JOIN {schema}.pieces p ON p.session = s.number
LEFT JOIN LATERAL (
    SELECT convert_from(d.content, 'UTF8')::json AS manifest
    FROM {schema}.pieces d
    WHERE d.session = s.number AND d.name = 'session.json'
) m ON true
GROUP BY s.id, s.number, m.manifest ->> 'source', m.manifest ->> 'environment', m.manifest IS NOT NULL,
         m.manifest ->> 'first_ns', m.manifest ->> 'last_ns';
COMMENT ON VIEW {schema}.recordings IS 'One line a session, without reading its updates';

CREATE FUNCTION {schema}.tape(session text)
RETURNS TABLE (received timestamptz, ticker text, kind text, side text, dollars numeric, contracts numeric, taker text,
               recv_ns bigint, exch_ns bigint, price int, size bigint, market int, part int, ordinal int)
LANGUAGE sql STABLE AS $$
    SELECT timestamptz 'epoch' + u.recv_ns / 1000 * interval '1 microsecond',
           m.ticker,
           k.name,
           CASE u.side WHEN 0 THEN 'bid' WHEN 1 THEN 'ask' END,
           CASE WHEN u.kind IN (1, 3, 4, 10) THEN u.price / 10000.0 END,
           CASE WHEN u.kind IN (1, 3, 4) THEN u.size / 100.0 END,
           CASE WHEN u.kind = 4 THEN CASE u.taker WHEN 0 THEN 'bought' WHEN 1 THEN 'sold' END END,
           u.recv_ns, u.exch_ns, u.price, u.size, u.market, u.part, u.ordinal
    FROM {schema}.updates u
    JOIN {schema}.kinds k ON k.kind = u.kind
    LEFT JOIN {schema}.markets m ON m.session = u.session AND m.market = u.market
    WHERE u.session = (SELECT s.number FROM {schema}.sessions s WHERE s.id = $1)
$$;
COMMENT ON FUNCTION {schema}.tape(text) IS
    'Updates of one session with tickers, dollars and contracts of YES. Order of arrival: ORDER BY part, ordinal';
