-- Documents can be ingested where no embeddings can be had; a search then goes by their words alone.

ALTER TABLE document_passages ALTER COLUMN embedding DROP NOT NULL;

COMMENT ON COLUMN document_passages.embedding IS 'NULL where no model makes embeddings: such a passage is found by its words alone.';
COMMENT ON COLUMN document_passages.model IS 'Who made the embedding, empty where nobody did; a search compares only with its own model''s.';
