-- Times are milliseconds since 1970, UTC; money is minor units of the row's (or its order's) currency.

CREATE TABLE machines (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    place TEXT NOT NULL DEFAULT '',
    currency INTEGER NOT NULL,
    -- Rises with every change of a slot, a price or a product's name; the machine says which one it sells from.
    plan INTEGER NOT NULL DEFAULT 0,
    plan_applied INTEGER NOT NULL DEFAULT 0,
    -- NULL: in service; else why it does not sell.
    stopped TEXT,
    seen_ms INTEGER,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE enrolments (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    machine INTEGER NOT NULL REFERENCES machines (id),
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    login_hash BLOB NOT NULL CHECK (length(login_hash) = 32),
    nonce BLOB NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    -- The highest sequence given to an authorization or void.
    issued_seq INTEGER NOT NULL DEFAULT 0,
    -- The sequence the machine had used when it was found ahead of this database: up to it, receipts for authorizations that are
    -- not here are expected.
    restored_below INTEGER NOT NULL DEFAULT 0,
    -- Why no authorization is issued any more; NULL: none of that.
    quarantined TEXT,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_active_enrolment ON enrolments (machine) WHERE active = 1;

CREATE TABLE claim_codes (
    id BLOB PRIMARY KEY CHECK (length(id) = 8),
    key BLOB NOT NULL CHECK (length(key) = 32),
    machine INTEGER NOT NULL REFERENCES machines (id),
    expires_ms INTEGER NOT NULL,
    used_by BLOB
) STRICT;

CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE slots (
    machine INTEGER NOT NULL REFERENCES machines (id),
    slot INTEGER NOT NULL CHECK (slot BETWEEN 1 AND 999),
    product INTEGER NOT NULL REFERENCES products (id),
    price_minor INTEGER NOT NULL CHECK (price_minor BETWEEN 1 AND 100000000),
    capacity INTEGER NOT NULL CHECK (capacity BETWEEN 0 AND 9999),
    stock INTEGER NOT NULL CHECK (stock BETWEEN 0 AND 9999),
    reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    PRIMARY KEY (machine, slot)
) STRICT;

CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    machine INTEGER NOT NULL REFERENCES machines (id),
    enrolment BLOB NOT NULL REFERENCES enrolments (id),
    plan INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    -- preparing, offered, paid, authorizing, authorized, taken, settling; ends: settled, closed, refused
    state TEXT NOT NULL,
    -- What the customer is told when it was refused.
    note TEXT NOT NULL DEFAULT '',
    -- Names the order to its customer, who has no login.
    token TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL CHECK (source IN ('screen', 'phone')),
    -- The attempt that paid it; any other paid one is refunded whole.
    sold_attempt TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    ended_ms INTEGER
) STRICT;
CREATE INDEX orders_by_machine ON orders (machine, id);
CREATE INDEX orders_live ON orders (state) WHERE state NOT IN ('settled', 'closed', 'refused');

CREATE TABLE lines (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    line INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    product INTEGER NOT NULL,
    name TEXT NOT NULL,
    price_minor INTEGER NOT NULL,
    -- open (reserved), delivered, refunding, refunded, released (never paid)
    state TEXT NOT NULL DEFAULT 'open',
    verdict TEXT,
    -- Fell although its money is going back or has gone back.
    given_away INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, line)
) STRICT;

CREATE TABLE attempts (
    id TEXT PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    account TEXT NOT NULL,
    merchant TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    -- created, offered, unknown, paid, closed
    state TEXT NOT NULL,
    code TEXT,
    transaction_id TEXT,
    paid_ms INTEGER,
    -- Sealed with a key that is not in this database.
    evidence BLOB,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    queries INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX attempts_by_order ON attempts (order_id);
CREATE INDEX attempts_paid ON attempts (paid_ms) WHERE paid_ms IS NOT NULL;
CREATE UNIQUE INDEX one_attempt_a_transaction ON attempts (account, transaction_id) WHERE transaction_id IS NOT NULL;

CREATE TABLE refunds (
    id TEXT PRIMARY KEY,
    attempt TEXT NOT NULL,
    account TEXT NOT NULL,
    -- NULL: an orphan's.
    order_id INTEGER REFERENCES orders (id),
    paid_minor INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0 AND amount_minor <= paid_minor),
    currency INTEGER NOT NULL,
    -- reserved, sent, succeeded, needs_operator, replaced (closed by the wallet, made again under another id)
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER
) STRICT;
CREATE INDEX refunds_by_attempt ON refunds (attempt);
CREATE INDEX refunds_by_order ON refunds (order_id);

-- Payments that verify and fit nothing: real money, refunded, never vended.
CREATE TABLE orphans (
    account TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    attempt TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    why TEXT NOT NULL,
    refund TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account, transaction_id)
) STRICT;

CREATE TABLE authorizations (
    enrolment BLOB NOT NULL REFERENCES enrolments (id),
    seq INTEGER NOT NULL,
    order_id INTEGER NOT NULL UNIQUE REFERENCES orders (id),
    -- numbered, signed, taken; ends: received, given_up (unknown after silence)
    state TEXT NOT NULL,
    deadline_ms INTEGER NOT NULL,
    signed BLOB,
    -- The signed void, once one was wanted.
    void BLOB,
    -- Since when the machine counts as silent about it; NULL: it does not.
    silent_ms INTEGER,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (enrolment, seq)
) STRICT;
CREATE UNIQUE INDEX one_open_authorization ON authorizations (enrolment)
    WHERE state IN ('numbered', 'signed', 'taken');

CREATE TABLE receipts (
    enrolment BLOB NOT NULL REFERENCES enrolments (id),
    journal BLOB NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    -- The envelope as received.
    signed BLOB NOT NULL,
    order_id INTEGER REFERENCES orders (id),
    -- The authorization whose money it moved; NULL: none.
    seq INTEGER,
    -- Why it was stored without effect; NULL: it had its effect.
    quarantined TEXT,
    received_ms INTEGER NOT NULL,
    -- A fork has one number and two hashes; both are kept.
    PRIMARY KEY (enrolment, journal, number, hash)
) STRICT;
CREATE UNIQUE INDEX one_receipt_moves_money ON receipts (enrolment, seq)
    WHERE seq IS NOT NULL AND quarantined IS NULL;

-- Side effects to come: at least once each, with effect once.
CREATE TABLE jobs (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, subject)
) STRICT;
CREATE INDEX jobs_due ON jobs (due_ms);

CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    line INTEGER,
    at_ms INTEGER NOT NULL,
    what TEXT NOT NULL
) STRICT;
CREATE INDEX history_by_order ON history (order_id, id);

CREATE TABLE alarms (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    machine INTEGER,
    order_id INTEGER,
    at_ms INTEGER NOT NULL,
    what TEXT NOT NULL
) STRICT;

CREATE TABLE operators (
    name TEXT PRIMARY KEY,
    salt BLOB NOT NULL,
    password_hash BLOB NOT NULL,
    iterations INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    -- SHA-256 of the cookie's token.
    id BLOB PRIMARY KEY,
    operator TEXT NOT NULL REFERENCES operators (name),
    csrf TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;
