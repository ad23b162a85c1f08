-- By which numbers of the projections (processors/projections/version.py) the rows were made; one row, once a sink began.

CREATE TABLE IF NOT EXISTS projections (
    is_the_only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_the_only_row),
    oldest INTEGER NOT NULL CHECK (oldest >= 0),
    newest INTEGER NOT NULL CHECK (newest >= oldest),
    since TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW()
);
COMMENT ON TABLE projections IS 'Between which numbers of the projections the rows were made.';

-- What stands there was made before there was a number.
INSERT INTO projections (oldest, newest)
SELECT 0, 0 WHERE EXISTS (SELECT 1 FROM sink_offsets WHERE next_offset > 0)
ON CONFLICT DO NOTHING;
