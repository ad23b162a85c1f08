"""Migrations that landed stay as they are: databases that have them would refuse to go on."""

from sinks.migrator import migrations

# A change belongs into a new migration, and its digest to the end of this list.
LANDED = (
    ("version_one", "96476f633e42c08c"),
    ("version_two", "77ed38fd96c391b5"),
    ("event_log", "94616ece5a7dca49"),
    ("budget_entries", "2d4d59294e42037a"),
    ("trace", "0f42aabfd8590313"),
    ("document_passages", "14a654e8cbcd3f8f"),
    ("forks", "bd660da3a6eb1c00"),
    ("reservations_of_calls", "ff81900acf1d1b6e"),
    ("budget_balances", "1d70c2f625c62f12"),
    ("list_of_sessions", "49b3fe252e9041de"),
    ("a_chat_again", "963657c2610555dc"),
    ("statuses_of_sessions", "4f662f31ba211412"),
    ("document_collections", "d6f27e4e129230a5"),
    ("passages_without_embeddings", "e6aafe2c515ac8b3"),
    ("projections", "975f2b24d6d8301f"),
    ("raised_budgets", "32d1cd35bce6e6c2"),
    ("a_trigger_of_our_own", "c1a8d97962af9712"),
    ("client_calls", "6de930ac2104deb6"),
    ("version_one_ids", "e7f732160fa92166"),
    ("cancelled_client_calls", "085934536f03de8d"),
    ("steps_cost_what_was_charged", "119c55ae104e34f6"),
    ("acts_of_operators_in_traces", "685696905630b11b"),
    ("imports", "8da54c990399e105"),
    ("row_level_security", "4481bb5add81e3a3"),
    ("when_sessions_came_over", "82ead6997f87d53d"),
    ("questions", "cbf22d43beb91f65"),
    ("schedules", "4973aa073851c1fa"),
)


def test_no_migration_is_edited_once_it_has_landed() -> None:
    assert tuple((step.name, step.sha256[:16]) for step in migrations()) == LANDED
