-- What `cartrita backfill` brings over from V1: which sessions came from where, and how far it was brought.

ALTER TABLE session_summaries ADD COLUMN IF NOT EXISTS imported_from TEXT;
ALTER TABLE session_summaries ADD COLUMN IF NOT EXISTS imported_messages BIGINT;

-- No event leads to this: should it be lost, an import reads V1 from its beginning, and what is on the log already
-- counts once.
CREATE TABLE IF NOT EXISTS imports (
    origin TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    passes INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL DEFAULT '',
    seen_before BIGINT,
    began_at TIMESTAMP WITH TIME ZONE,
    began_before BIGINT,
    reached TEXT,
    counts JSONB NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE imports IS 'How far `cartrita backfill` has read each V1.';
COMMENT ON COLUMN imports.passes IS 'How many passes were read to their end.';
COMMENT ON COLUMN imports.source IS 'Which database it is; empty where it does not say.';
COMMENT ON COLUMN imports.seen_before IS 'What was written by transactions before this one was read by an earlier pass.';
COMMENT ON COLUMN imports.began_at IS 'When the pass that is not at its end began; NULL: none is.';
COMMENT ON COLUMN imports.began_before IS 'What that pass sees to its end.';
COMMENT ON COLUMN imports.reached IS 'The last session of V1 that it has brought over.';

-- Its lists are chosen from the rows that are there when it is made, which are none, so it recalls little, and costs
-- at every row. Nothing searches by it; who does makes one when rows are there, USING hnsw.
DROP INDEX IF EXISTS idx_retrieval_metrics_embedding;
