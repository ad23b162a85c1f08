-- Passages of ingested documents: what search_documents finds, by meaning (embedding) and by words (lexemes).
-- No events lead here: it is an index of files, made by `cartrita ingest` and made again at will.

CREATE TABLE IF NOT EXISTS document_passages (
    tenant_id TEXT NOT NULL,
    document TEXT NOT NULL,
    ordinal INTEGER NOT NULL CHECK (ordinal >= 1),
    source TEXT NOT NULL,
    text TEXT NOT NULL,
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    content_sha256 CHAR(64) NOT NULL,
    model TEXT NOT NULL,
    embedding vector(1536) NOT NULL,
    lexemes tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    ingested_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, document, ordinal)
);

COMMENT ON COLUMN document_passages.source IS 'The ingested folder: a new ingest of it replaces and removes only its own documents.';
COMMENT ON COLUMN document_passages.content_sha256 IS 'Of the whole document, with the ways it was split and embedded: unchanged documents are skipped by it.';
COMMENT ON COLUMN document_passages.model IS 'Who made the embedding; a search compares only with its own model''s.';

-- No approximate index on the embedding: exact search answers the same question the same way each time, and takes
-- some milliseconds for thousands of passages.
CREATE INDEX IF NOT EXISTS idx_document_passages_lexemes ON document_passages USING gin (lexemes);
CREATE INDEX IF NOT EXISTS idx_document_passages_source ON document_passages (tenant_id, source);
