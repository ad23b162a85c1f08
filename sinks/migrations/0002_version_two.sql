-- The V2 tables: every column, check and index of the design.
--
-- Ids come from gen_random_uuid(), which Postgres has built in since 13, instead of uuid_generate_v4() of
-- uuid-ossp. Of the extensions only vector is made: the embedded Postgres ships without contrib, so there is
-- no uuid-ossp, pg_trgm or btree_gin, and no index here would use them.

CREATE EXTENSION IF NOT EXISTS vector;

-- 1. Tasks in their hierarchy
CREATE TABLE IF NOT EXISTS tasks_v2 (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id UUID NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
    parent_id UUID REFERENCES tasks_v2(id) ON DELETE CASCADE,
    intent TEXT NOT NULL,
    spec_json JSONB NOT NULL DEFAULT '{}',
    cost_budget_tokens INTEGER DEFAULT 5000,
    priority INTEGER DEFAULT 5 CHECK (priority BETWEEN 1 AND 10),
    status VARCHAR(20) DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'complete', 'failed', 'pruned', 'aborted')),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    completed_at TIMESTAMP WITH TIME ZONE,

    estimated_cost_tokens INTEGER DEFAULT 0,
    actual_cost_tokens INTEGER DEFAULT 0,
    agent_assigned VARCHAR(50),
    error_message TEXT,
    retry_count INTEGER DEFAULT 0,

    CONSTRAINT tasks_v2_parent_not_self CHECK (id != parent_id)
);

CREATE INDEX IF NOT EXISTS idx_tasks_v2_session_status ON tasks_v2(session_id, status);
CREATE INDEX IF NOT EXISTS idx_tasks_v2_parent ON tasks_v2(parent_id);
CREATE INDEX IF NOT EXISTS idx_tasks_v2_agent_status ON tasks_v2(agent_assigned, status);
CREATE INDEX IF NOT EXISTS idx_tasks_v2_priority_status ON tasks_v2(priority DESC, status);

-- 2. Relations between tasks
CREATE TABLE IF NOT EXISTS task_edges (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    from_task_id UUID NOT NULL REFERENCES tasks_v2(id) ON DELETE CASCADE,
    to_task_id UUID NOT NULL REFERENCES tasks_v2(id) ON DELETE CASCADE,
    relation_type VARCHAR(20) DEFAULT 'depends_on'
        CHECK (relation_type IN ('depends_on', 'blocks', 'enables', 'refines')),
    weight DECIMAL(3,2) DEFAULT 1.0,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    UNIQUE(from_task_id, to_task_id, relation_type)
);

CREATE INDEX IF NOT EXISTS idx_task_edges_from ON task_edges(from_task_id);
CREATE INDEX IF NOT EXISTS idx_task_edges_to ON task_edges(to_task_id);

-- 3. Snapshots of a session's graph
CREATE TABLE IF NOT EXISTS graph_snapshots (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id UUID NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
    snapshot_json JSONB NOT NULL,
    node_name VARCHAR(50) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    agent_state JSONB DEFAULT '{}',
    cost_summary JSONB DEFAULT '{}',
    performance_metrics JSONB DEFAULT '{}'
);

CREATE INDEX IF NOT EXISTS idx_graph_snapshots_session ON graph_snapshots(session_id, created_at DESC);
CREATE INDEX IF NOT EXISTS idx_graph_snapshots_node ON graph_snapshots(node_name, created_at DESC);

-- 4. How retrieval went
CREATE TABLE IF NOT EXISTS retrieval_metrics (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id UUID NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
    query_text TEXT NOT NULL,
    query_embedding vector(1536),
    k_initial INTEGER NOT NULL DEFAULT 10,
    k_rerank INTEGER NOT NULL DEFAULT 5,
    retrieval_latency_ms INTEGER,
    rerank_latency_ms INTEGER,
    usefulness_score DECIMAL(3,2) CHECK (usefulness_score BETWEEN 0.0 AND 1.0),
    model_feedback JSONB DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    context_tokens_before INTEGER,
    context_tokens_after INTEGER,
    compression_ratio DECIMAL(3,2),
    documents_retrieved INTEGER,
    documents_used INTEGER
);

CREATE INDEX IF NOT EXISTS idx_retrieval_metrics_session ON retrieval_metrics(session_id, created_at DESC);
CREATE INDEX IF NOT EXISTS idx_retrieval_metrics_usefulness ON retrieval_metrics(usefulness_score DESC);

-- Kept as the design lists it. Its lists are chosen from the rows that are there when it is made, which here
-- are none, so it recalls little until somebody runs REINDEX INDEX idx_retrieval_metrics_embedding.
CREATE INDEX IF NOT EXISTS idx_retrieval_metrics_embedding ON retrieval_metrics
    USING ivfflat (query_embedding vector_cosine_ops) WITH (lists = 100);

-- 5. How well each tool does
CREATE TABLE IF NOT EXISTS tool_capability_index (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tool_name VARCHAR(100) NOT NULL,
    category VARCHAR(50) NOT NULL DEFAULT 'uncategorized',
    version VARCHAR(20) DEFAULT '1.0.0',

    success_rate_30d DECIMAL(5,2) DEFAULT 100.0,
    avg_latency_ms DECIMAL(8,2) DEFAULT 0.0,
    avg_cost_tokens DECIMAL(8,2) DEFAULT 0.0,
    call_count_30d INTEGER DEFAULT 0,

    safety_level VARCHAR(20) DEFAULT 'safe' CHECK (safety_level IN ('safe', 'caution', 'restricted')),
    complexity_score INTEGER DEFAULT 5 CHECK (complexity_score BETWEEN 1 AND 10),
    resource_intensity VARCHAR(20) DEFAULT 'light' CHECK (resource_intensity IN ('light', 'medium', 'heavy')),

    last_updated TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    last_success TIMESTAMP WITH TIME ZONE,
    last_failure TIMESTAMP WITH TIME ZONE,

    UNIQUE(tool_name, version)
);

CREATE INDEX IF NOT EXISTS idx_tool_capability_name ON tool_capability_index(tool_name);
CREATE INDEX IF NOT EXISTS idx_tool_capability_category
    ON tool_capability_index(category, success_rate_30d DESC);
CREATE INDEX IF NOT EXISTS idx_tool_capability_performance
    ON tool_capability_index(success_rate_30d DESC, avg_latency_ms ASC);

-- 6. What policy decided
CREATE TABLE IF NOT EXISTS policy_decisions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id UUID REFERENCES sessions(id) ON DELETE CASCADE,
    tool_name VARCHAR(100),
    agent_name VARCHAR(50),
    decision VARCHAR(20) NOT NULL CHECK (decision IN ('allow', 'deny', 'throttle', 'escalate', 'audit')),
    policy_rule VARCHAR(100) NOT NULL,
    reason TEXT,

    cost_limit_before INTEGER,
    cost_limit_after INTEGER,
    resource_usage_before JSONB DEFAULT '{}',
    resource_usage_after JSONB DEFAULT '{}',

    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),

    request_context JSONB DEFAULT '{}',
    user_context JSONB DEFAULT '{}'
);

CREATE INDEX IF NOT EXISTS idx_policy_decisions_session ON policy_decisions(session_id, created_at DESC);
CREATE INDEX IF NOT EXISTS idx_policy_decisions_tool
    ON policy_decisions(tool_name, decision, created_at DESC);
CREATE INDEX IF NOT EXISTS idx_policy_decisions_agent ON policy_decisions(agent_name, created_at DESC);

-- 7. What V2 adds to the messages
ALTER TABLE conversation_messages
    ADD COLUMN IF NOT EXISTS task_id UUID REFERENCES tasks_v2(id) ON DELETE SET NULL;
ALTER TABLE conversation_messages ADD COLUMN IF NOT EXISTS graph_node VARCHAR(50);
ALTER TABLE conversation_messages ADD COLUMN IF NOT EXISTS cost_tokens INTEGER DEFAULT 0;

CREATE INDEX IF NOT EXISTS idx_conversation_messages_task ON conversation_messages(task_id);
CREATE INDEX IF NOT EXISTS idx_conversation_messages_graph_node
    ON conversation_messages(graph_node, created_at DESC);

-- 8. updated_at, for whoever updates a task by hand. It stays away from the sink, whose times come from events:
-- rows must come out the same whenever they are written.
CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = NOW();
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

DROP TRIGGER IF EXISTS update_tasks_v2_updated_at ON tasks_v2;
CREATE TRIGGER update_tasks_v2_updated_at BEFORE UPDATE ON tasks_v2
    FOR EACH ROW
    WHEN (current_setting('cartrita.sink', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION update_updated_at_column();
