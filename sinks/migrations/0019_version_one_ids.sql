-- Which number stands for which id in a table of V1 whose ids are numbers, and what gives numbers where the
-- table itself has nothing that does: -1, -2, …, which nobody else gives.

CREATE TABLE IF NOT EXISTS version_one_ids (
    table_name TEXT NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (table_name, id),
    UNIQUE (table_name, number)
);

CREATE SEQUENCE IF NOT EXISTS version_one_numbers INCREMENT BY -1 START WITH -1 MAXVALUE -1 MINVALUE -9223372036854775808;
