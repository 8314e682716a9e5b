"""Initial tables, functions and triggers.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Both sums of the Reed-Solomon code over GF(23), so that SQL cannot store an invalid User ID either.
USER_ID_HOLDS = """
CREATE FUNCTION user_id_holds(id text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT id ~ '^[0-9CFHJKMPQRTWXY]{12}$'
       AND sum(value) % 23 = 0
       AND sum(value * weight) % 23 = 0
    FROM (
        SELECT strpos('0123456789CFHJKMPQRTWXY', substr(id, place, 1)) - 1 AS value,
               (ARRAY[1, 5, 2, 10, 4, 20, 8, 17, 16, 11, 9, 22])[place] AS weight
        FROM generate_series(1, 12) AS place
    ) AS symbols
$$
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$
"""

APPEND_ONLY = (
    "brand_words",
    "checkpoint",
    "consent_entry",
    "consent_wording",
    "event",
    "feedback",
    "permission_check",
    "sealed_event",
)

TABLES = (
    "account",
    "checkpoint",
    "source",
    "client",
    "consent_wording",
    "encryption_key",
    "event",
    "feed_state",
    "feedback",
    "idempotency_key",
    "import_job",
    "inbound_mail",
    "message_kind",
    "password_attempt",
    "password_kind",
    "permission_check",
    "rate_limit_counter",
    "relay_state",
    "revoked_token",
    "staff",
    "suppression",
    "used_assertion",
    "worker",
    "account_access",
    "business_period",
    "client_secret",
    "consent_entry",
    "consent_state",
    "contact",
    "email_change",
    "external_reference",
    "further_address",
    "history_entry",
    "import_issue",
    "import_row",
    "merge_request",
    "message",
    "password",
    "pending_change",
    "staff_recovery_code",
    "sealed_event",
    "sign_in_session",
    "staff_session",
    "attempt",
    "consent_evidence",
    "contact_entry",
    "one_time_token",
    "caller_check",
    "tracking_link",
    "openid_client",
    "redirect_uri",
    "authorization_request",
    "client_session",
    "oauth_grant",
    "granted_scope",
    "logout_delivery",
    "resource_server",
    "resource_scope",
    "passkey",
    "passkey_challenge",
    "second_factor",
    "second_factor_setup",
    "pending_sign_in",
    "brand_proof",
    "brand_words",
    "recovery_code",
    "recovery_session",
    "support_code",
    "caller_preference",
    "passkey_only",
    "staff_passkey",
    "staff_passkey_challenge",
    "phone_number",
    "text_charge",
    "text_pause",
)
"""In the order in which they are created."""

TRANSITIONS = {
    "queued": "sending cancelled suppressed limited expired failed",
    "sending": "accepted deferred rejected expired unconfirmed failed bounced cancelled",
    "deferred": "sending accepted expired unconfirmed cancelled suppressed bounced delivered failed",
    "accepted": "delivered bounced",
    "delivered": "bounced",
    "unconfirmed": "accepted delivered bounced",
}

MESSAGE_STEP = """
CREATE FUNCTION message_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'queued' THEN
            RAISE EXCEPTION 'a message begins as queued, not %', NEW.state USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.state <> OLD.state AND NOT (OLD.state || ' ' || NEW.state = ANY (ARRAY[{steps}])) THEN
        RAISE EXCEPTION 'a message cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""


# Tables are named with their schema: the application's role may create a temporary table of the same name.
FOLLOW_LEDGER = """
CREATE FUNCTION consent_state_follows_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    derived record;
BEGIN
    WITH RECURSIVE member AS (
        SELECT NEW.user_id AS user_id, true AS own, NULL::timestamptz AS merged_at
        UNION ALL
        SELECT a.user_id, false, least(a.merged_at, m.merged_at)
        FROM public.account a JOIN member m ON a.merged_into = m.user_id
    ), newest AS (
        SELECT m.user_id, m.own, m.merged_at, e.decision, e.occurred_at FROM member m LEFT JOIN LATERAL (
            SELECT entry.decision, entry.occurred_at FROM public.consent_entry entry
            WHERE entry.user_id = m.user_id AND entry.purpose = NEW.purpose AND entry.decision <> 'proposed'
            ORDER BY entry.id DESC LIMIT 1
        ) e ON true
    ), mine AS (SELECT n.occurred_at FROM newest n WHERE n.own)
    SELECT n.decision, n.occurred_at INTO derived FROM newest n, mine
    WHERE n.own OR mine.occurred_at IS NULL OR mine.occurred_at <= n.merged_at
    ORDER BY CASE n.decision WHEN 'withdrawn' THEN 0 WHEN 'granted' THEN 2 ELSE 1 END, n.own DESC, n.merged_at, n.user_id
    LIMIT 1;
    IF derived.decision IS DISTINCT FROM NEW.decision OR derived.occurred_at IS DISTINCT FROM NEW.since THEN
        RAISE EXCEPTION 'the ledger does not say % of % for %', NEW.decision, NEW.user_id, NEW.purpose
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$
"""

# Runs with the rights of the owner: the application's role cannot change `feed_state` itself. Events up to the restore
# are passed over by the sealer from then on, so all of them must have their seal, and nobody may be writing others.
RECORD_RESTORE = """
CREATE FUNCTION record_restore(restore_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    risen integer;
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM public.event e WHERE e.id = restore_id AND e.name = 'feed.restored'
            AND e.transaction_id = pg_current_xact_id()::text::bigint
            AND NOT EXISTS (SELECT 1 FROM public.event later WHERE later.id > restore_id)
    ) THEN
        RAISE EXCEPTION 'event % does not record a restore that happens now', restore_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT 1 FROM public.event e LEFT JOIN public.sealed_event s ON s.event_id = e.id WHERE s.event_id IS NULL
    ) THEN
        RAISE EXCEPTION 'there are events without a seal' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND usename = session_user AND pid <> pg_backend_pid()
    ) THEN
        RAISE EXCEPTION 'other sessions of this role are connected' USING ERRCODE = 'object_in_use';
    END IF;
    UPDATE public.feed_state SET epoch = epoch + 1, restored_event_id = restore_id RETURNING epoch INTO risen;
    RETURN risen;
END
$$
"""

# Both sides take the same lock first, so that of two concurrent transactions the second one sees what the first has
# written: shared for the many that write accounts, so that they do not wait for each other. The number of locks is
# bounded, because an import writes thousands of accounts in one transaction.
ONE_ACCOUNT_PER_ADDRESS = """
CREATE FUNCTION one_account_per_address() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lock_id bigint := hashtextextended('one_account_per_address', 0) + (hashtext(NEW.email_key) & 255);
    is_taken boolean;
BEGIN
    IF TG_TABLE_NAME = 'account' THEN
        PERFORM pg_advisory_xact_lock_shared(lock_id);
        SELECT EXISTS (SELECT FROM further_address WHERE email_key = NEW.email_key AND confirmed_at IS NOT NULL
            AND removed_at IS NULL) INTO is_taken;
    ELSE
        PERFORM pg_advisory_xact_lock(lock_id);
        SELECT EXISTS (SELECT FROM account WHERE email_key = NEW.email_key) INTO is_taken;
    END IF;
    IF is_taken THEN
        RAISE EXCEPTION 'an account has this address' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    op.execute(USER_ID_HOLDS)
    op.execute(REFUSE_CHANGE)
    steps = ", ".join(f"'{old} {new}'" for old, news in TRANSITIONS.items() for new in news.split())
    op.execute(MESSAGE_STEP.replace("{steps}", steps))
    _create_tables()
    # Arrays of up to 10,000 User IDs: compressing them costs more than their room.
    op.execute("ALTER TABLE permission_check ALTER COLUMN user_ids SET STORAGE EXTERNAL")
    op.execute("INSERT INTO feed_state (id, epoch) VALUES (1, 1)")
    op.execute(
        "CREATE TRIGGER message_step BEFORE INSERT OR UPDATE OF state ON message "
        "FOR EACH ROW EXECUTE FUNCTION message_step()"
    )
    op.execute(FOLLOW_LEDGER)
    op.execute(
        "CREATE TRIGGER consent_state_follows_ledger AFTER INSERT OR UPDATE ON consent_state "
        "FOR EACH ROW EXECUTE FUNCTION consent_state_follows_ledger()"
    )
    op.execute(ONE_ACCOUNT_PER_ADDRESS)
    op.execute(
        "CREATE TRIGGER one_account_per_address AFTER INSERT OR UPDATE OF email_key ON account "
        "FOR EACH ROW WHEN (NEW.email_key IS NOT NULL) EXECUTE FUNCTION one_account_per_address()"
    )
    op.execute(
        "CREATE TRIGGER one_account_per_address "
        "AFTER INSERT OR UPDATE OF email_key, confirmed_at, removed_at ON further_address FOR EACH ROW "
        "WHEN (NEW.confirmed_at IS NOT NULL AND NEW.removed_at IS NULL) EXECUTE FUNCTION one_account_per_address()"
    )
    op.execute(RECORD_RESTORE)
    op.execute("REVOKE ALL ON FUNCTION record_restore(bigint) FROM PUBLIC")
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    functions = (
        "record_restore",
        "one_account_per_address",
        "consent_state_follows_ledger",
        "message_step",
        "refuse_change",
        "user_id_holds",
    )
    for function in functions:
        op.execute(f"DROP FUNCTION {function}")


def _create_tables() -> None:
    op.create_table(
        "account",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), server_default=sa.text("'consumer'"), nullable=False),
        sa.Column("state", sa.String(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("email_ascii", sa.String(), nullable=True),
        sa.Column("email_key", sa.String(), nullable=True),
        sa.Column("email_state", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("merged_into", sa.String(), nullable=True),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customer_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tokens_valid_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sessions_valid_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("(email_state = 'none') = (email IS NULL)", name=op.f("ck_account_email_state_tells_email")),
        sa.CheckConstraint("(state = 'merged') = (merged_into IS NOT NULL)", name=op.f("ck_account_merged_into")),
        sa.CheckConstraint("email_state IN ('none', 'unconfirmed', 'confirmed')", name=op.f("ck_account_email_state")),
        sa.CheckConstraint("kind IN ('consumer', 'business')", name=op.f("ck_account_kind")),
        sa.CheckConstraint("state IN ('active', 'closed', 'merged', 'erased')", name=op.f("ck_account_state")),
        sa.CheckConstraint(
            "(email IS NULL) = (email_key IS NULL) AND (email IS NULL) = (email_ascii IS NULL)",
            name=op.f("ck_account_email_whole"),
        ),
        sa.CheckConstraint("merged_into <> user_id", name=op.f("ck_account_merged_elsewhere")),
        sa.CheckConstraint("user_id_holds(user_id)", name=op.f("ck_account_user_id")),
        sa.ForeignKeyConstraint(["merged_into"], ["account.user_id"], name=op.f("fk_account_merged_into")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_account")),
        sa.UniqueConstraint("email_key", name=op.f("uq_account_email_key")),
    )
    op.create_index(op.f("ix_account_merged_into"), "account", ["merged_into"], unique=False)
    op.create_table(
        "checkpoint",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("statement", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_checkpoint")),
        info={"append_only": True},
    )
    op.create_table(
        "source",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("name ~ '^[a-z][a-z0-9_]{0,39}$'", name=op.f("ck_source_name")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_source")),
    )
    op.create_table(
        "client",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("desk", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("brand", sa.String(), nullable=True),
        sa.Column("scopes", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("jwks", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("jwks_uri", sa.String(), nullable=True),
        sa.Column("jwks_tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("jwks_fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id LIKE 'cli\\_%'", name=op.f("ck_client_id")),
        sa.CheckConstraint("jwks_uri ~ '^(https://|http://127\\.0\\.0\\.1)'", name=op.f("ck_client_jwks_uri")),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_client_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
    )
    op.create_index(op.f("ix_client_source"), "client", ["source"], unique=False)
    op.create_table(
        "consent_wording",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", "language", name=op.f("pk_consent_wording")),
        info={"append_only": True},
    )
    op.create_table(
        "encryption_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("algorithm", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_since", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "algorithm IN ('ES256', 'EdDSA', 'RS256', 'HMAC')", name=op.f("ck_encryption_key_algorithm")
        ),
        sa.CheckConstraint(
            "purpose IN ('signing', 'id_token', 'link', 'address', 'internal')", name=op.f("ck_encryption_key_purpose")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_encryption_key")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        info={"append_only": True},
    )
    op.create_index("ix_event_transaction_id_id", "event", ["transaction_id", "id"], unique=False)
    op.create_index("ix_event_user_id_id", "event", ["user_id", "id"], unique=False)
    op.create_table(
        "feed_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("restored_event_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_feed_state_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_state")),
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("attempt_no", sa.Integer(), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_event_id", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.String(), nullable=True),
        sa.Column("inbound_id", sa.Uuid(), nullable=True),
        sa.Column("inbound_hash", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "type IN ('provider_accepted', 'delayed', 'delivered', 'bounced', 'dropped', 'complained', 'autoreply', 'relayed', 'other', 'unreadable')",
            name=op.f("ck_feedback_type"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        info={"append_only": True},
    )
    op.create_index("ix_feedback_message_id", "feedback", ["message_id"], unique=False)
    op.create_index("uq_feedback_source", "feedback", ["source", "source_event_id"], unique=True)
    op.create_table(
        "idempotency_key",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "route", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_expires_at"), "idempotency_key", ["expires_at"], unique=False)
    op.create_index(op.f("ix_idempotency_key_user_id"), "idempotency_key", ["user_id"], unique=False)
    op.create_table(
        "import_job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("done_line", sa.Integer(), nullable=False),
        sa.Column("lines", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("added", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_job")),
        sa.UniqueConstraint("name", name=op.f("uq_import_job_name")),
    )
    op.create_table(
        "inbound_mail",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("envelope_from", sa.String(), nullable=True),
        sa.Column("envelope_to", sa.String(), nullable=True),
        sa.Column("parse_status", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("raw", sa.String(), nullable=True),
        sa.Column("unread", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("(unread IS NOT NULL) = (parse_status = 'unread')", name=op.f("ck_inbound_mail_unread")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_mail")),
    )
    op.create_index(op.f("ix_inbound_mail_message_id"), "inbound_mail", ["message_id"], unique=False)
    op.create_index(op.f("ix_inbound_mail_received_at"), "inbound_mail", ["received_at"], unique=False)
    op.create_index(
        "ix_inbound_mail_unread",
        "inbound_mail",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("unread IS NOT NULL"),
    )
    op.create_table(
        "message_kind",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.CheckConstraint("purpose IN ('security', 'account', 'privacy')", name=op.f("ck_message_kind_purpose")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_message_kind")),
        sa.UniqueConstraint("name", "purpose", name=op.f("uq_message_kind_name_purpose")),
        info={"read_only": True},
    )
    op.create_table(
        "password_attempt",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_password_attempt")),
    )
    op.create_index(op.f("ix_password_attempt_updated_at"), "password_attempt", ["updated_at"], unique=False)
    op.create_table(
        "password_kind",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("passwords", sa.BigInteger(), nullable=False),
        sa.Column("dummy", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_password_kind")),
    )
    op.create_table(
        "permission_check",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_ids", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("allowed", postgresql.ARRAY(sa.BOOLEAN()), nullable=False),
        sa.Column("with_addresses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_permission_check")),
        info={"append_only": True},
    )
    op.create_index(op.f("ix_permission_check_occurred_at"), "permission_check", ["occurred_at"], unique=False)
    op.create_index(
        "ix_permission_check_user_ids", "permission_check", ["user_ids"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "rate_limit_counter",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_limit_counter")),
    )
    op.create_index(op.f("ix_rate_limit_counter_expires_at"), "rate_limit_counter", ["expires_at"], unique=False)
    op.create_table(
        "relay_state",
        sa.Column("relay", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("breaker", sa.String(), nullable=False),
        sa.Column("opened_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("faults_in_a_row", sa.Integer(), nullable=False),
        sa.Column("last_reply", sa.String(), nullable=True),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("relay", "worker", name=op.f("pk_relay_state")),
    )
    op.create_table(
        "revoked_token",
        sa.Column("jti", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_revoked_token")),
    )
    op.create_index(op.f("ix_revoked_token_expires_at"), "revoked_token", ["expires_at"], unique=False)
    op.create_table(
        "staff",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("phc", sa.String(), nullable=True),
        sa.Column("totp_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("enrol_hash", sa.LargeBinary(), nullable=True),
        sa.Column("enrol_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('clerk', 'lead', 'auditor')", name=op.f("ck_staff_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("enrol_hash", name=op.f("uq_staff_enrol_hash")),
    )
    op.create_index(
        "uq_staff_name",
        "staff",
        [sa.literal_column("lower(name)")],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("recipient_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("feedback_id", sa.Uuid(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("suppressed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(), nullable=True),
        sa.CheckConstraint(
            "reason IN ('hard_bounce', 'complaint', 'manual', 'stop')", name=op.f("ck_suppression_reason")
        ),
        sa.CheckConstraint("scope IN ('asks', 'other')", name=op.f("ck_suppression_scope")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
    )
    op.create_index(
        "uq_suppression_live",
        "suppression",
        ["recipient_hash", "scope"],
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_table(
        "used_assertion",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("jti", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "jti", name=op.f("pk_used_assertion")),
    )
    op.create_index(op.f("ix_used_assertion_expires_at"), "used_assertion", ["expires_at"], unique=False)
    op.create_table(
        "worker",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_worker")),
    )
    op.create_table(
        "account_access",
        sa.Column("event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("contact", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_account_access_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_account_access")),
    )
    op.create_index("ix_account_access_actor_at", "account_access", ["actor", "occurred_at"], unique=False)
    op.create_index("ix_account_access_contact_actor", "account_access", ["contact", "actor"], unique=False)
    op.create_index("ix_account_access_user_id", "account_access", ["user_id"], unique=False)
    op.create_table(
        "business_period",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("company_name", sa.String(), nullable=True),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("vat_number", sa.String(), nullable=True),
        sa.Column("registration_number", sa.String(), nullable=True),
        sa.Column("contact_person", sa.String(), nullable=True),
        sa.Column("billing_address", sa.String(), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("ck_business_period_country")),
        sa.CheckConstraint("ended_at IS NULL OR ended_at >= began_at", name=op.f("ck_business_period_ended")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_business_period_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_business_period")),
    )
    op.create_index(op.f("ix_business_period_user_id"), "business_period", ["user_id"], unique=False)
    op.create_index(
        "ix_business_time_company_name", "business_period", [sa.literal_column("lower(company_name)")], unique=False
    )
    op.create_index(
        "uq_business_time_open",
        "business_period",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "client_secret",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_client_secret_client_id")),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_client_secret")),
    )
    op.create_index(op.f("ix_client_secret_client_id"), "client_secret", ["client_id"], unique=False)
    op.create_table(
        "consent_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("wording_id", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("previous_id", sa.BigInteger(), nullable=True),
        sa.Column("evidence_hash", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "channel IN ('page', 'email_link', 'app', 'phone', 'paper', 'desk', 'import', 'merge')",
            name=op.f("ck_consent_entry_channel"),
        ),
        sa.CheckConstraint("decision = 'withdrawn' OR wording_id IS NOT NULL", name=op.f("ck_consent_entry_wording")),
        sa.CheckConstraint("decision IN ('proposed', 'granted', 'withdrawn')", name=op.f("ck_consent_entry_decision")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_consent_entry_user_id")),
        sa.ForeignKeyConstraint(
            ["wording_id", "language"],
            ["consent_wording.id", "consent_wording.language"],
            name=op.f("fk_consent_entry_wording_id_language"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_entry")),
        sa.UniqueConstraint("token_id", name=op.f("uq_consent_entry_token_id")),
        info={"append_only": True},
    )
    op.create_index("ix_consent_entry_user_id_purpose", "consent_entry", ["user_id", "purpose", "id"], unique=False)
    op.create_table(
        "consent_state",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("decision IN ('granted', 'withdrawn')", name=op.f("ck_consent_state_decision")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_consent_state_user_id")),
        sa.PrimaryKeyConstraint("user_id", "purpose", name=op.f("pk_consent_state")),
    )
    op.create_index(
        "ix_consent_state_granted",
        "consent_state",
        ["user_id", "purpose"],
        unique=False,
        postgresql_where=sa.text("decision = 'granted'"),
    )
    op.create_table(
        "contact",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("desk", sa.String(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waited_s", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("hand_overs", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_contact_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
        sa.UniqueConstraint("number", name=op.f("uq_contact_number")),
    )
    op.create_index(
        "ix_contact_open", "contact", ["desk", "opened_at"], unique=False, postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_index(
        "ix_contact_user_id_opened_at", "contact", ["user_id", sa.literal_column("opened_at DESC")], unique=False
    )
    op.create_table(
        "email_change",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("new_email", sa.String(), nullable=True),
        sa.Column("new_ascii", sa.String(), nullable=True),
        sa.Column("new_key", sa.String(), nullable=True),
        sa.Column("old_email", sa.String(), nullable=True),
        sa.Column("old_ascii", sa.String(), nullable=True),
        sa.Column("old_key", sa.String(), nullable=True),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("proven_by", sa.LargeBinary(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("old_email IS NULL OR old_key IS NOT NULL", name=op.f("ck_email_change_old_whole")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_email_change_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_change")),
        sa.UniqueConstraint("token_id", name=op.f("uq_email_change_token_id")),
    )
    op.create_index(op.f("ix_email_change_user_id"), "email_change", ["user_id"], unique=False)
    op.create_table(
        "external_reference",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_external_reference_user_id")),
        sa.PrimaryKeyConstraint("source", "reference", name=op.f("pk_external_reference")),
    )
    op.create_index(op.f("ix_external_reference_user_id"), "external_reference", ["user_id"], unique=False)
    op.create_table(
        "further_address",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("email_ascii", sa.String(), nullable=False),
        sa.Column("email_key", sa.String(), nullable=False),
        sa.Column("for_recovery", sa.Boolean(), nullable=False),
        sa.Column("for_notices", sa.Boolean(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recovers_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(recovers_at IS NOT NULL) = (confirmed_at IS NOT NULL AND for_recovery)",
            name=op.f("ck_further_address_recovers"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_further_address_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_further_address")),
        sa.UniqueConstraint("token_id", name=op.f("uq_further_address_token_id")),
    )
    op.create_index(op.f("ix_further_address_user_id"), "further_address", ["user_id"], unique=False)
    op.create_index(
        "uq_further_address_email_key",
        "further_address",
        ["email_key"],
        unique=True,
        postgresql_where=sa.text("confirmed_at IS NOT NULL AND removed_at IS NULL"),
    )
    op.create_table(
        "history_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("corrects", sa.Uuid(), nullable=True),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("amount", sa.Numeric(precision=20, scale=4), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("link", sa.String(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("(amount IS NULL) = (currency IS NULL)", name=op.f("ck_history_entry_amount_has_currency")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_history_entry_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history_entry")),
        sa.ForeignKeyConstraint(["corrects"], ["history_entry.id"], name=op.f("fk_history_entry_corrects")),
        sa.UniqueConstraint("corrects", name=op.f("uq_history_entry_corrects")),
    )
    op.create_index("ix_history_entry_source_reference", "history_entry", ["source", "reference"], unique=False)
    op.create_index(
        "uq_history_entry_source_reference",
        "history_entry",
        ["source", "reference"],
        unique=True,
        postgresql_where=sa.text("corrects IS NULL"),
    )
    op.create_index(
        "ix_history_entry_user_id_occurred_at",
        "history_entry",
        ["user_id", sa.literal_column("occurred_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_table(
        "import_issue",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('duplicates', 'extended', 'left_out', 'refused')", name=op.f("ck_import_issue_kind")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["import_job.id"], name=op.f("fk_import_issue_job_id")),
        sa.PrimaryKeyConstraint("job_id", "line", "kind", name=op.f("pk_import_issue")),
    )
    op.create_table(
        "import_row",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["import_job.id"], name=op.f("fk_import_row_job_id")),
        sa.PrimaryKeyConstraint("job_id", "line", name=op.f("pk_import_row")),
    )
    op.create_table(
        "merge_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("survivor", sa.String(), nullable=False),
        sa.Column("duplicate", sa.String(), nullable=False),
        sa.Column("survivor_token_id", sa.Uuid(), nullable=True),
        sa.Column("duplicate_token_id", sa.Uuid(), nullable=True),
        sa.Column("survivor_agreed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duplicate_agreed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("survivor <> duplicate", name=op.f("ck_merge_request_two")),
        sa.ForeignKeyConstraint(["duplicate"], ["account.user_id"], name=op.f("fk_merge_request_duplicate")),
        sa.ForeignKeyConstraint(["survivor"], ["account.user_id"], name=op.f("fk_merge_request_survivor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge_request")),
        sa.UniqueConstraint("duplicate_token_id", name=op.f("uq_merge_request_duplicate_token_id")),
        sa.UniqueConstraint("survivor_token_id", name=op.f("uq_merge_request_survivor_token_id")),
    )
    op.create_index(op.f("ix_merge_request_duplicate"), "merge_request", ["duplicate"], unique=False)
    op.create_index(op.f("ix_merge_request_survivor"), "merge_request", ["survivor"], unique=False)
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), server_default=sa.text("'email'"), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("recipient", sa.String(), nullable=True),
        sa.Column("recipient_ascii", sa.String(), nullable=True),
        sa.Column("recipient_hash", sa.LargeBinary(), nullable=True),
        sa.Column("mailbox_hash", sa.LargeBinary(), nullable=True),
        sa.Column("recipient_domain", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("pending_key", sa.String(), nullable=True),
        sa.Column("state", sa.String(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("deliveries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_relay", sa.String(), nullable=True),
        sa.Column("relay_queue_id", sa.String(), nullable=True),
        sa.Column("possibly_sent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("delayed_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_class", sa.String(), nullable=True),
        sa.Column("last_code", sa.Integer(), nullable=True),
        sa.Column("last_enhanced", sa.String(), nullable=True),
        sa.Column("last_reply", sa.String(), nullable=True),
        sa.Column("resend_of", sa.Uuid(), nullable=True),
        sa.Column("prefer_relay", sa.String(), nullable=True),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name=op.f("ck_message_lease_token")),
        sa.CheckConstraint("(state = 'sending') = (lease_until IS NOT NULL)", name=op.f("ck_message_lease_until")),
        sa.CheckConstraint(
            "(state IN ('queued', 'deferred')) = (next_attempt_at IS NOT NULL)", name=op.f("ck_message_next_attempt")
        ),
        sa.CheckConstraint("state <> 'expired' OR NOT possibly_sent", name=op.f("ck_message_expired_is_certain")),
        sa.CheckConstraint("state <> 'queued' OR attempts = 0", name=op.f("ck_message_queued_is_untried")),
        sa.CheckConstraint("state <> 'unconfirmed' OR possibly_sent", name=op.f("ck_message_unconfirmed_is_not")),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'deferred', 'accepted', 'delivered', 'unconfirmed', 'rejected', 'bounced', 'expired', 'suppressed', 'limited', 'cancelled', 'failed')",
            name=op.f("ck_message_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('accepted', 'delivered') OR accepted_at IS NOT NULL", name=op.f("ck_message_accepted_at")
        ),
        sa.CheckConstraint(
            "state NOT IN ('sending', 'deferred', 'accepted') OR attempts > 0", name=op.f("ck_message_tried")
        ),
        sa.CheckConstraint("channel IN ('email', 'text')", name=op.f("ck_message_channel")),
        sa.CheckConstraint("deadline_at > created_at", name=op.f("ck_message_deadline")),
        sa.CheckConstraint("priority IN (0, 5, 9)", name=op.f("ck_message_priority")),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_message_event_id")),
        sa.ForeignKeyConstraint(
            ["kind", "purpose"], ["message_kind.name", "message_kind.purpose"], name=op.f("fk_message_kind_purpose")
        ),
        sa.ForeignKeyConstraint(["resend_of"], ["message.id"], name=op.f("fk_message_resend_of")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("event_id", name=op.f("uq_message_event_id")),
        postgresql_with={"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02},
    )
    op.create_index(
        "ix_message_created",
        "message",
        [sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "ix_message_deadline",
        "message",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
    )
    op.create_index(
        "ix_message_due",
        "message",
        ["channel", "priority", "next_attempt_at", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
    )
    op.create_index(
        "ix_message_last",
        "message",
        ["id"],
        unique=False,
        postgresql_where=sa.text("kind = 'account_erased' AND recipient IS NOT NULL"),
    )
    op.create_index(
        "ix_message_lease", "message", ["lease_until"], unique=False, postgresql_where=sa.text("state = 'sending'")
    )
    op.create_index(
        "ix_message_recipient_hash", "message", ["recipient_hash", sa.literal_column("created_at DESC")], unique=False
    )
    op.create_index(
        "ix_message_mailbox_hash", "message", ["mailbox_hash", sa.literal_column("created_at DESC")], unique=False
    )
    op.create_index(op.f("ix_message_resend_of"), "message", ["resend_of"], unique=False)
    op.create_index("ix_message_user_id", "message", ["user_id", sa.literal_column("created_at DESC")], unique=False)
    op.create_index(
        "uq_message_pending_key",
        "message",
        ["pending_key"],
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'deferred', 'sending')"),
    )
    op.create_table(
        "password",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("phc", sa.String(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proven_by", sa.LargeBinary(), nullable=True),
        sa.Column("locked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("compromised_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mailbox_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "mailbox_confirmed_at IS NULL OR imported_at IS NOT NULL", name=op.f("ck_password_mailbox_confirmed")
        ),
        sa.CheckConstraint("phc LIKE '$%'", name=op.f("ck_password_phc")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_password_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_password")),
    )
    op.create_table(
        "pending_change",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_by", sa.String(), nullable=True),
        sa.Column("stop_reason", sa.String(), nullable=True),
        sa.CheckConstraint(
            "verb IN ('business', 'consumer', 'merge', 'close', 'erase', 'email')", name=op.f("ck_pending_change_verb")
        ),
        sa.CheckConstraint(
            "NOT (done_at IS NOT NULL AND stopped_at IS NOT NULL)", name=op.f("ck_pending_change_one_end")
        ),
        sa.CheckConstraint("approved_by <> requested_by", name=op.f("ck_pending_change_second_person")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_pending_change_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_change")),
        sa.UniqueConstraint("token_id", name=op.f("uq_pending_change_token_id")),
    )
    op.create_index(
        "ix_pending_change_due",
        "pending_change",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL AND stopped_at IS NULL"),
    )
    op.create_index(op.f("ix_pending_change_user_id"), "pending_change", ["user_id"], unique=False)
    op.create_table(
        "staff_recovery_code",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_recovery_code_staff_id")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_staff_recovery_code")),
    )
    op.create_index(op.f("ix_staff_recovery_code_staff_id"), "staff_recovery_code", ["staff_id"], unique=False)
    op.create_table(
        "sealed_event",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_sealed_event_event_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_sealed_event")),
        sa.UniqueConstraint("event_id", name=op.f("uq_sealed_event_event_id")),
        info={"append_only": True},
    )
    op.create_table(
        "sign_in_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("second_factor", sa.String(), nullable=True),
        sa.Column("proven_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proven_by", sa.LargeBinary(), nullable=True),
        sa.Column("browser", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "method IN ('password', 'mail', 'passkey', 'verified_passkey')", name=op.f("ck_sign_in_session_method")
        ),
        sa.CheckConstraint("second_factor IN ('totp')", name=op.f("ck_sign_in_session_second_factor")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_sign_in_session_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_session")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_sign_in_session_cookie_hash")),
    )
    op.create_index(op.f("ix_sign_in_session_expires_at"), "sign_in_session", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sign_in_session_user_id"), "sign_in_session", ["user_id"], unique=False)
    op.create_table(
        "staff_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("method IN ('code', 'recovery_code', 'passkey')", name=op.f("ck_staff_session_method")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_session_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_session")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_staff_session_cookie_hash")),
    )
    op.create_index(op.f("ix_staff_session_staff_id"), "staff_session", ["staff_id"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_no", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("relay", sa.String(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("phase", sa.String(), server_default=sa.text("'claimed'"), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reply_class", sa.String(), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.String(), nullable=True),
        sa.Column("reply", sa.String(), nullable=True),
        sa.Column("transcript", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("peer_ip", postgresql.INET(), nullable=True),
        sa.Column("tls_version", sa.String(), nullable=True),
        sa.Column("reused", sa.Boolean(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("words", sa.String(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'transient', 'permanent', 'relay_fault', 'unknown', 'lost', 'late_accepted', 'aborted')",
            name=op.f("ck_attempt_outcome"),
        ),
        sa.CheckConstraint(
            "phase IN ('claimed', 'connect', 'tls', 'auth', 'mail', 'rcpt', 'data', 'payload', 'eod')",
            name=op.f("ck_attempt_phase"),
        ),
        sa.CheckConstraint("(finished_at IS NULL) = (outcome IS NULL)", name=op.f("ck_attempt_finished")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_attempt_message_id")),
        sa.PrimaryKeyConstraint("message_id", "attempt_no", name=op.f("pk_attempt")),
    )
    op.create_index(
        "uq_attempt_accepted", "attempt", ["message_id"], unique=True, postgresql_where=sa.text("outcome = 'accepted'")
    )
    op.create_index(
        "uq_attempt_open", "attempt", ["message_id"], unique=True, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_table(
        "consent_evidence",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["consent_entry.id"], name=op.f("fk_consent_evidence_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_consent_evidence")),
    )
    op.create_index(op.f("ix_consent_evidence_user_id"), "consent_evidence", ["user_id"], unique=False)
    op.create_table(
        "contact_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("desk", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('opened', 'note', 'handed_over', 'picked_up', 'verified', 'not_verified', 'did', 'closed')",
            name=op.f("ck_contact_entry_kind"),
        ),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_contact_entry_contact_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_entry")),
    )
    op.create_index("ix_contact_entry_contact_id_id", "contact_entry", ["contact_id", "id"], unique=False)
    op.create_table(
        "one_time_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("recipient_hash", sa.LargeBinary(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code_attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('reset', 'reset_elsewhere', 'signin_elsewhere', 'signin', 'consent', 'withdraw', 'business_undo', 'email_change', 'email_undo', 'further_address', 'address_undo', 'merge', 'change', 'stop', 'keep_factor', 'caller_check', 'address', 'recovery', 'reset_text', 'number', 'reopen')",
            name=op.f("ck_one_time_token_purpose"),
        ),
        sa.CheckConstraint("length(nonce) = 16", name=op.f("ck_one_time_token_nonce")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_one_time_token_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_token")),
        sa.UniqueConstraint("handle", name=op.f("uq_one_time_token_handle")),
        sa.UniqueConstraint("reference", name=op.f("uq_one_time_token_reference")),
    )
    op.create_index(op.f("ix_one_time_token_message_id"), "one_time_token", ["message_id"], unique=False)
    op.create_index(
        "ix_one_time_token_to_hash_requested_at",
        "one_time_token",
        ["recipient_hash", sa.literal_column("requested_at DESC")],
        unique=False,
    )
    op.create_index(op.f("ix_one_time_token_user_id"), "one_time_token", ["user_id"], unique=False)
    op.create_table(
        "caller_check",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("clerk", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("method", sa.String(), server_default=sa.text("'email'"), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("matched", sa.Boolean(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("session_method", sa.String(), nullable=True),
        sa.Column("session_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("denied_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(method = 'on_screen') = (nonce IS NOT NULL AND key_id IS NOT NULL)", name=op.f("ck_caller_check_nonce")
        ),
        sa.CheckConstraint(
            "(method IN ('email', 'text')) = (token_id IS NOT NULL)", name=op.f("ck_caller_check_token")
        ),
        sa.CheckConstraint(
            "method IN ('email', 'text', 'support_code', 'on_screen')", name=op.f("ck_caller_check_method")
        ),
        sa.CheckConstraint(
            "purpose IN ('identify', 'reset', 'business', 'receipt')", name=op.f("ck_caller_check_purpose")
        ),
        sa.CheckConstraint("(answered_at IS NULL) = (matched IS NULL)", name=op.f("ck_caller_check_answered")),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_caller_check_contact_id")),
        sa.ForeignKeyConstraint(["token_id"], ["one_time_token.id"], name=op.f("fk_caller_check_token_id")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_caller_check_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_caller_check")),
        sa.UniqueConstraint("token_id", name=op.f("uq_caller_check_token_id")),
    )
    op.create_index(op.f("ix_caller_check_contact_id"), "caller_check", ["contact_id"], unique=False)
    op.create_index(op.f("ix_caller_check_user_id"), "caller_check", ["user_id"], unique=False)
    op.create_table(
        "tracking_link",
        sa.Column("handle_hash", sa.LargeBinary(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code_attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["one_time_token.id"], name=op.f("fk_tracking_link_token_id")),
        sa.PrimaryKeyConstraint("handle_hash", name=op.f("pk_tracking_link")),
    )
    op.create_index(op.f("ix_tracking_link_expires_at"), "tracking_link", ["expires_at"], unique=False)
    op.create_index(op.f("ix_tracking_link_token_id"), "tracking_link", ["token_id"], unique=False)
    op.create_table(
        "openid_client",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("first_party", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("id_token_alg", sa.String(), server_default=sa.text("'ES256'"), nullable=False),
        sa.Column("response_mode", sa.String(), server_default=sa.text("'query'"), nullable=False),
        sa.Column("needs_pkce", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("needs_par", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("backchannel_logout_uri", sa.String(), nullable=True),
        sa.CheckConstraint(
            "backchannel_logout_uri ~ '^(https://|http://127\\.0\\.0\\.1)'", name=op.f("ck_openid_client_logout_uri")
        ),
        sa.CheckConstraint("id_token_alg IN ('ES256', 'RS256')", name=op.f("ck_openid_client_id_token_alg")),
        sa.CheckConstraint("kind IN ('confidential', 'public', 'native')", name=op.f("ck_openid_client_kind")),
        sa.CheckConstraint("needs_pkce OR kind = 'confidential'", name=op.f("ck_openid_client_pkce")),
        sa.CheckConstraint("response_mode IN ('query', 'form_post')", name=op.f("ck_openid_client_response_mode")),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_openid_client_client_id")),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_openid_client")),
    )
    op.create_table(
        "redirect_uri",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("use", sa.String(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.CheckConstraint(
            "uri ~ '^(https://|http://(127\\.0\\.0\\.1|\\[::1\\])|[a-z][a-z0-9+-]*(\\.[a-z0-9+-]+)+:/)' AND uri !~ '[[:space:][:cntrl:]#*\\\\]'",
            name=op.f("ck_redirect_uri_uri"),
        ),
        sa.CheckConstraint("use IN ('redirect', 'logout')", name=op.f("ck_redirect_uri_use")),
        sa.ForeignKeyConstraint(["client_id"], ["openid_client.client_id"], name=op.f("fk_redirect_uri_client_id")),
        sa.PrimaryKeyConstraint("client_id", "use", "uri", name=op.f("pk_redirect_uri")),
    )
    op.create_table(
        "authorization_request",
        sa.Column("id_hash", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["openid_client.client_id"], name=op.f("fk_authorization_request_client_id")
        ),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_authorization_request")),
    )
    op.create_index("ix_authorization_request_expires_at", "authorization_request", ["expires_at"], unique=False)
    op.create_table(
        "client_session",
        sa.Column("sid", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["openid_client.client_id"], name=op.f("fk_client_session_client_id")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_client_session_user_id")),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_client_session")),
    )
    op.create_index(op.f("ix_client_session_user_id"), "client_session", ["user_id"], unique=False)
    op.create_index(
        "uq_client_session_open",
        "client_session",
        ["session_id", "client_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "oauth_grant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("sid", sa.Uuid(), nullable=False),
        sa.Column("scope", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("second_factor", sa.String(), nullable=True),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("nonce", sa.String(), nullable=True),
        sa.Column("redirect_uri", sa.String(), nullable=False),
        sa.Column("code_challenge", sa.String(), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("code_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_why", sa.String(), nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_why IS NULL)", name=op.f("ck_oauth_grant_ended")),
        sa.CheckConstraint("generation >= 0", name=op.f("ck_oauth_grant_generation")),
        sa.ForeignKeyConstraint(["client_id"], ["openid_client.client_id"], name=op.f("fk_oauth_grant_client_id")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_oauth_grant_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_grant")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_oauth_grant_code_hash")),
    )
    op.create_index(op.f("ix_oauth_grant_client_id"), "oauth_grant", ["client_id"], unique=False)
    op.create_index("ix_oauth_grant_expires_at", "oauth_grant", ["expires_at"], unique=False)
    op.create_index(op.f("ix_oauth_grant_sid"), "oauth_grant", ["sid"], unique=False)
    op.create_index(op.f("ix_oauth_grant_user_id"), "oauth_grant", ["user_id"], unique=False)
    op.create_table(
        "granted_scope",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["openid_client.client_id"], name=op.f("fk_granted_scope_client_id")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_granted_scope_user_id")),
        sa.PrimaryKeyConstraint("user_id", "client_id", "scope", name=op.f("pk_granted_scope")),
    )
    op.create_table(
        "logout_delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("sid", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_answer", sa.String(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["openid_client.client_id"], name=op.f("fk_logout_delivery_client_id")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_logout_delivery_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logout_delivery")),
    )
    op.create_index(
        "ix_logout_delivery_due",
        "logout_delivery",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_index(op.f("ix_logout_delivery_user_id"), "logout_delivery", ["user_id"], unique=False)
    op.create_table(
        "resource_server",
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_resource_server_client_id")),
        sa.PrimaryKeyConstraint("audience", name=op.f("pk_resource_server")),
    )
    op.create_table(
        "resource_scope",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["audience"], ["resource_server.audience"], name=op.f("fk_resource_scope_audience")),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_resource_scope")),
    )
    op.create_index(op.f("ix_resource_scope_audience"), "resource_scope", ["audience"], unique=False)
    op.create_table(
        "passkey",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("user_handle", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("backup_eligible", sa.Boolean(), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("went_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("backup_eligible OR NOT backed_up", name=op.f("ck_passkey_backed_up")),
        sa.CheckConstraint("octet_length(user_handle) = 64", name=op.f("ck_passkey_user_handle")),
        sa.CheckConstraint("sign_count >= 0", name=op.f("ck_passkey_sign_count")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_passkey_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkey")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkey_credential_id")),
    )
    op.create_index(op.f("ix_passkey_user_id"), "passkey", ["user_id"], unique=False)
    op.create_table(
        "passkey_challenge",
        sa.Column("id_hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("user_handle", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(purpose = 'register') = (user_id IS NOT NULL AND user_handle IS NOT NULL)",
            name=op.f("ck_passkey_challenge_account"),
        ),
        sa.CheckConstraint("purpose IN ('register', 'sign_in')", name=op.f("ck_passkey_challenge_purpose")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_passkey_challenge_user_id")),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_passkey_challenge")),
    )
    op.create_index("ix_passkey_challenge_expires_at", "passkey_challenge", ["expires_at"], unique=False)
    op.create_index(op.f("ix_passkey_challenge_user_id"), "passkey_challenge", ["user_id"], unique=False)
    op.create_table(
        "second_factor",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("seed_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures_today", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("day_began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("locked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removal_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_second_factor_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factor")),
    )
    op.create_index(
        "ix_second_factor_removal",
        "second_factor",
        ["removal_asked_at"],
        unique=False,
        postgresql_where=sa.text("removal_asked_at IS NOT NULL"),
    )
    op.create_table(
        "second_factor_setup",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("seed_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_second_factor_setup_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factor_setup")),
    )
    op.create_index(op.f("ix_second_factor_setup_expires_at"), "second_factor_setup", ["expires_at"], unique=False)
    op.create_table(
        "pending_sign_in",
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("proven_by", sa.LargeBinary(), nullable=True),
        sa.Column("browser", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "method IN ('password', 'mail', 'passkey', 'verified_passkey')", name=op.f("ck_pending_sign_in_method")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_pending_sign_in_user_id")),
        sa.PrimaryKeyConstraint("cookie_hash", name=op.f("pk_pending_sign_in")),
    )
    op.create_index(op.f("ix_pending_sign_in_expires_at"), "pending_sign_in", ["expires_at"], unique=False)
    op.create_index(op.f("ix_pending_sign_in_user_id"), "pending_sign_in", ["user_id"], unique=False)
    op.create_table(
        "brand_proof",
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proven_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lost_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.CheckConstraint("lost_at IS NULL OR proven_at IS NOT NULL", name=op.f("ck_brand_proof_lost")),
        sa.CheckConstraint("what IN ('host', 'sender')", name=op.f("ck_brand_proof_what")),
        sa.PrimaryKeyConstraint("what", "name", name=op.f("pk_brand_proof")),
    )
    op.create_table(
        "brand_words",
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sentences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("brand", "language", "version", "kind", name=op.f("pk_brand_words")),
        info={"append_only": True},
    )
    op.create_table(
        "recovery_code",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("locator", sa.String(), nullable=False),
        sa.Column("phc", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("shown_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("misses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("wait_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(sealed IS NULL) OR (shown_until IS NOT NULL)", name=op.f("ck_recovery_code_sealed")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_recovery_code_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_code")),
    )
    op.create_index(
        "ix_recovery_code_shown_until",
        "recovery_code",
        ["shown_until"],
        unique=False,
        postgresql_where=sa.text("sealed IS NOT NULL"),
    )
    op.create_index(op.f("ix_recovery_code_user_id"), "recovery_code", ["user_id"], unique=False)
    op.create_index(
        "uq_recovery_code_current",
        "recovery_code",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("used_at IS NULL AND ended_at IS NULL"),
    )
    op.create_table(
        "recovery_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("code_id", sa.Uuid(), nullable=True),
        sa.Column("needs_second", sa.Boolean(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("action", sa.String(), nullable=True),
        sa.CheckConstraint(
            "action IN ('password', 'passkey', 'address', 'support_code')", name=op.f("ck_recovery_session_action")
        ),
        sa.CheckConstraint("code_id IS NOT NULL OR NOT needs_second", name=op.f("ck_recovery_session_second")),
        sa.ForeignKeyConstraint(
            ["code_id"], ["recovery_code.id"], name=op.f("fk_recovery_session_code_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_recovery_session_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_session")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_recovery_session_cookie_hash")),
    )
    op.create_index(op.f("ix_recovery_session_code_id"), "recovery_session", ["code_id"], unique=False)
    op.create_index(op.f("ix_recovery_session_expires_at"), "recovery_session", ["expires_at"], unique=False)
    op.create_index(op.f("ix_recovery_session_user_id"), "recovery_session", ["user_id"], unique=False)
    op.create_table(
        "support_code",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("session_method", sa.String(), nullable=False),
        sa.Column("session_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unexpected", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("NOT unexpected OR ended_at IS NOT NULL", name=op.f("ck_support_code_unexpected")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_support_code_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_code")),
    )
    op.create_index(
        "ix_support_code_user_id_created_at",
        "support_code",
        ["user_id", sa.literal_column("created_at DESC")],
        unique=False,
    )
    op.create_index(
        "uq_support_code_current",
        "support_code",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("used_at IS NULL AND ended_at IS NULL"),
    )
    op.create_table(
        "caller_preference",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_caller_preference_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_caller_preference")),
    )
    op.create_table(
        "passkey_only",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_passkey_only_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_passkey_only")),
    )
    op.create_table(
        "staff_passkey",
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("user_handle", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("backup_eligible", sa.Boolean(), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("went_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("backup_eligible OR NOT backed_up", name=op.f("ck_staff_passkey_backed_up")),
        sa.CheckConstraint("octet_length(user_handle) = 64", name=op.f("ck_staff_passkey_user_handle")),
        sa.CheckConstraint("sign_count >= 0", name=op.f("ck_staff_passkey_sign_count")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_passkey_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_passkey")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_staff_passkey_credential_id")),
    )
    op.create_index(op.f("ix_staff_passkey_staff_id"), "staff_passkey", ["staff_id"], unique=False)
    op.create_table(
        "staff_passkey_challenge",
        sa.Column("staff_id", sa.Uuid(), nullable=True),
        sa.Column("id_hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_handle", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(purpose = 'register') = (staff_id IS NOT NULL AND user_handle IS NOT NULL)",
            name=op.f("ck_staff_passkey_challenge_staff"),
        ),
        sa.CheckConstraint("purpose IN ('register', 'sign_in')", name=op.f("ck_staff_passkey_challenge_purpose")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_passkey_challenge_staff_id")),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_staff_passkey_challenge")),
    )
    op.create_index("ix_staff_passkey_challenge_expires_at", "staff_passkey_challenge", ["expires_at"], unique=False)
    op.create_index(op.f("ix_staff_passkey_challenge_staff_id"), "staff_passkey_challenge", ["staff_id"], unique=False)
    op.create_table(
        "phone_number",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recovers_from", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("number ~ '^[+][1-9][0-9]{5,14}$'", name=op.f("ck_phone_number_number")),
        sa.CheckConstraint(
            "(confirmed_at IS NULL) = (recovers_from IS NULL)", name=op.f("ck_phone_number_recovers_from")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_phone_number_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phone_number")),
        sa.UniqueConstraint("user_id", "number", name=op.f("uq_phone_number_user_id_number")),
    )
    op.create_table(
        "text_charge",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("number_hash", sa.LargeBinary(), nullable=True),
        sa.Column("network_hash", sa.LargeBinary(), nullable=True),
        sa.Column("prefix", sa.String(), nullable=True),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("cost >= 0", name=op.f("ck_text_charge_cost")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_text_charge_message_id")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_text_charge")),
    )
    op.create_index("ix_text_charge_created_at", "text_charge", ["created_at"], unique=False)
    op.create_index(op.f("ix_text_charge_user_id"), "text_charge", ["user_id"], unique=False)
    op.create_table(
        "text_pause",
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_text_pause")),
    )
    # ### end Alembic commands ###
