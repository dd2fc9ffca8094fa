-- A journal as version 1 made it, on the day that version 2 came. This file never changes.
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE episodes (
    position INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: a cursor stays right when rows are removed
    episode_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL, created_at REAL NOT NULL, environment TEXT NOT NULL, task_set TEXT NOT NULL,
    task TEXT NOT NULL, plan BLOB NOT NULL, metadata BLOB NOT NULL, group_id TEXT, parent_checkpoint TEXT,
    call_key TEXT, state TEXT NOT NULL, reason TEXT, generation INTEGER NOT NULL, step_index INTEGER NOT NULL,
    steps_taken INTEGER NOT NULL, reward REAL NOT NULL, sandbox_id TEXT, image TEXT, series INTEGER NOT NULL,
    snapshot BLOB NOT NULL, clock BLOB NOT NULL, grade BLOB, closed_at REAL
);
CREATE INDEX episodes_open ON episodes (position) WHERE closed_at IS NULL;
CREATE INDEX episodes_closed ON episodes (closed_at, position) WHERE closed_at IS NOT NULL;
CREATE INDEX episodes_group ON episodes (group_id) WHERE group_id IS NOT NULL;
CREATE TABLE generations (
    episode_id TEXT NOT NULL, generation INTEGER NOT NULL, origin TEXT NOT NULL, seed INTEGER NOT NULL,
    options BLOB NOT NULL, begun_at REAL NOT NULL, first_index INTEGER NOT NULL, checkpoint_id TEXT,
    parent_episode TEXT, parent_generation INTEGER, started BLOB, call_key TEXT,
    PRIMARY KEY (episode_id, generation)
);
CREATE INDEX generations_parent ON generations (parent_episode) WHERE parent_episode IS NOT NULL;
CREATE TABLE steps (
    episode_id TEXT NOT NULL, generation INTEGER NOT NULL, step_index INTEGER NOT NULL, action BLOB NOT NULL,
    fingerprint BLOB NOT NULL, metadata BLOB NOT NULL, timeout_s REAL NOT NULL, series INTEGER NOT NULL,
    usage BLOB NOT NULL, begun_at REAL NOT NULL, result BLOB, outcome TEXT, reward REAL, finished_at REAL,
    PRIMARY KEY (episode_id, generation, step_index)
);
CREATE TABLE checkpoints (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    checkpoint_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL, episode_id TEXT NOT NULL, generation INTEGER NOT NULL, step_index INTEGER NOT NULL,
    kind TEXT NOT NULL, label TEXT, automatic INTEGER NOT NULL, runtime_id TEXT, created_at REAL NOT NULL,
    bytes INTEGER NOT NULL, pause_ms REAL NOT NULL, state BLOB NOT NULL, call_key TEXT, deleted_at REAL
);
CREATE INDEX checkpoints_episode ON checkpoints (episode_id);
CREATE TABLE groups (
    group_id TEXT PRIMARY KEY, owner TEXT NOT NULL, created_at REAL NOT NULL, size INTEGER NOT NULL,
    settings BLOB NOT NULL, started BLOB, call_key TEXT, closed_at REAL
);
CREATE TABLE calls (
    call_key TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, effect BLOB, status INTEGER, body BLOB,
    created_at REAL NOT NULL
);
CREATE INDEX calls_age ON calls (created_at);
CREATE TABLE payloads (digest BLOB PRIMARY KEY, bytes INTEGER NOT NULL, refs INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX payloads_unused ON payloads (digest) WHERE refs = 0;
CREATE TRIGGER payloads_episodes_grade_added AFTER INSERT ON episodes WHEN substr(new.grade, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.grade, 1, 1) = x'01' AND digest = substr(new.grade, 2, 32); END;
CREATE TRIGGER payloads_episodes_grade_changed AFTER UPDATE OF grade ON episodes WHEN substr(new.grade, 1, 1) = x'01' OR substr(old.grade, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.grade, 1, 1) = x'01' AND digest = substr(new.grade, 2, 32); UPDATE payloads SET refs = refs - 1 WHERE substr(old.grade, 1, 1) = x'01' AND digest = substr(old.grade, 2, 32); END;
CREATE TRIGGER payloads_episodes_grade_removed AFTER DELETE ON episodes WHEN substr(old.grade, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs - 1 WHERE substr(old.grade, 1, 1) = x'01' AND digest = substr(old.grade, 2, 32); END;
CREATE TRIGGER payloads_generations_started_added AFTER INSERT ON generations WHEN substr(new.started, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.started, 1, 1) = x'01' AND digest = substr(new.started, 2, 32); END;
CREATE TRIGGER payloads_generations_started_changed AFTER UPDATE OF started ON generations WHEN substr(new.started, 1, 1) = x'01' OR substr(old.started, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.started, 1, 1) = x'01' AND digest = substr(new.started, 2, 32); UPDATE payloads SET refs = refs - 1 WHERE substr(old.started, 1, 1) = x'01' AND digest = substr(old.started, 2, 32); END;
CREATE TRIGGER payloads_generations_started_removed AFTER DELETE ON generations WHEN substr(old.started, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs - 1 WHERE substr(old.started, 1, 1) = x'01' AND digest = substr(old.started, 2, 32); END;
CREATE TRIGGER payloads_steps_action_added AFTER INSERT ON steps WHEN substr(new.action, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.action, 1, 1) = x'01' AND digest = substr(new.action, 2, 32); END;
CREATE TRIGGER payloads_steps_action_changed AFTER UPDATE OF action ON steps WHEN substr(new.action, 1, 1) = x'01' OR substr(old.action, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.action, 1, 1) = x'01' AND digest = substr(new.action, 2, 32); UPDATE payloads SET refs = refs - 1 WHERE substr(old.action, 1, 1) = x'01' AND digest = substr(old.action, 2, 32); END;
CREATE TRIGGER payloads_steps_action_removed AFTER DELETE ON steps WHEN substr(old.action, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs - 1 WHERE substr(old.action, 1, 1) = x'01' AND digest = substr(old.action, 2, 32); END;
CREATE TRIGGER payloads_steps_result_added AFTER INSERT ON steps WHEN substr(new.result, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.result, 1, 1) = x'01' AND digest = substr(new.result, 2, 32); END;
CREATE TRIGGER payloads_steps_result_changed AFTER UPDATE OF result ON steps WHEN substr(new.result, 1, 1) = x'01' OR substr(old.result, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.result, 1, 1) = x'01' AND digest = substr(new.result, 2, 32); UPDATE payloads SET refs = refs - 1 WHERE substr(old.result, 1, 1) = x'01' AND digest = substr(old.result, 2, 32); END;
CREATE TRIGGER payloads_steps_result_removed AFTER DELETE ON steps WHEN substr(old.result, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs - 1 WHERE substr(old.result, 1, 1) = x'01' AND digest = substr(old.result, 2, 32); END;
CREATE TRIGGER payloads_checkpoints_state_added AFTER INSERT ON checkpoints WHEN substr(new.state, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.state, 1, 1) = x'01' AND digest = substr(new.state, 2, 32); END;
CREATE TRIGGER payloads_checkpoints_state_changed AFTER UPDATE OF state ON checkpoints WHEN substr(new.state, 1, 1) = x'01' OR substr(old.state, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.state, 1, 1) = x'01' AND digest = substr(new.state, 2, 32); UPDATE payloads SET refs = refs - 1 WHERE substr(old.state, 1, 1) = x'01' AND digest = substr(old.state, 2, 32); END;
CREATE TRIGGER payloads_checkpoints_state_removed AFTER DELETE ON checkpoints WHEN substr(old.state, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs - 1 WHERE substr(old.state, 1, 1) = x'01' AND digest = substr(old.state, 2, 32); END;
CREATE TRIGGER payloads_groups_started_added AFTER INSERT ON groups WHEN substr(new.started, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.started, 1, 1) = x'01' AND digest = substr(new.started, 2, 32); END;
CREATE TRIGGER payloads_groups_started_changed AFTER UPDATE OF started ON groups WHEN substr(new.started, 1, 1) = x'01' OR substr(old.started, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.started, 1, 1) = x'01' AND digest = substr(new.started, 2, 32); UPDATE payloads SET refs = refs - 1 WHERE substr(old.started, 1, 1) = x'01' AND digest = substr(old.started, 2, 32); END;
CREATE TRIGGER payloads_groups_started_removed AFTER DELETE ON groups WHEN substr(old.started, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs - 1 WHERE substr(old.started, 1, 1) = x'01' AND digest = substr(old.started, 2, 32); END;
CREATE TRIGGER payloads_calls_body_added AFTER INSERT ON calls WHEN substr(new.body, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.body, 1, 1) = x'01' AND digest = substr(new.body, 2, 32); END;
CREATE TRIGGER payloads_calls_body_changed AFTER UPDATE OF body ON calls WHEN substr(new.body, 1, 1) = x'01' OR substr(old.body, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs + 1 WHERE substr(new.body, 1, 1) = x'01' AND digest = substr(new.body, 2, 32); UPDATE payloads SET refs = refs - 1 WHERE substr(old.body, 1, 1) = x'01' AND digest = substr(old.body, 2, 32); END;
CREATE TRIGGER payloads_calls_body_removed AFTER DELETE ON calls WHEN substr(old.body, 1, 1) = x'01'
BEGIN UPDATE payloads SET refs = refs - 1 WHERE substr(old.body, 1, 1) = x'01' AND digest = substr(old.body, 2, 32); END;

INSERT INTO meta VALUES ('journal_id', 'a-journal-of-old');
-- Each of these blobs is a sealed {}: 0, its CRC-32, and itself.
INSERT INTO episodes (
    episode_id, owner, created_at, environment, task_set, task, plan, metadata, state, generation, step_index,
    steps_taken, reward, series, snapshot, clock
) VALUES (
    'ep_old', 'ann', 1.5, 'code', 'set', 'task', x'00a3a6bf437b7d', x'00a3a6bf437b7d', 'live', 1, 1,
    1, 0.5, 3, x'00a3a6bf437b7d', x'00a3a6bf437b7d'
);
INSERT INTO steps VALUES (
    'ep_old', 1, 1, x'00a3a6bf437b7d', x'00a3a6bf437b7d', x'00a3a6bf437b7d', 10.0, 3, x'00a3a6bf437b7d', 2.0,
    x'00a3a6bf437b7d', 'ok', 0.5, 3.0
);
PRAGMA user_version = 1;
