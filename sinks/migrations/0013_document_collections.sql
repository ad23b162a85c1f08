-- Where each collection of documents came from, so that two folders of one name are told apart and nothing is
-- removed that an unmounted disk only hides; and which splitter made a passage, so that a newer one is noticed.
-- Rows of before have no collection here: the first ingest of a folder that has their documents takes them over.

CREATE TABLE IF NOT EXISTS document_collections (
    tenant_id TEXT NOT NULL,
    collection TEXT NOT NULL,
    folder TEXT NOT NULL,
    mounts TEXT[] NOT NULL DEFAULT '{}',
    ingested_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, collection)
);

COMMENT ON COLUMN document_collections.folder IS 'The absolute path of the folder that was ingested last, as its machine names it.';
COMMENT ON COLUMN document_collections.mounts IS 'Folders that were disks of their own then, as documents'' names begin with them: their documents are kept while they are not mounted.';

ALTER TABLE document_passages ADD COLUMN IF NOT EXISTS splitter TEXT NOT NULL DEFAULT '1';

COMMENT ON COLUMN document_passages.splitter IS 'Version of the splitter that made the passage.';
