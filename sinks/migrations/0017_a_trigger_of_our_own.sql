-- The trigger of tasks_v2 runs a function under a name of our own: the one that 0002 gave it is common, and a
-- database may have its own of that name.

CREATE OR REPLACE FUNCTION cartrita_set_updated_at() RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = NOW();
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

DROP TRIGGER IF EXISTS update_tasks_v2_updated_at ON tasks_v2;
CREATE TRIGGER update_tasks_v2_updated_at BEFORE UPDATE ON tasks_v2
    FOR EACH ROW
    WHEN (current_setting('cartrita.sink', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION cartrita_set_updated_at();
