"""first road.

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

# Both sums of the Reed-Solomon code over GF(23), so that no road, SQL included, stores an ID that does not check.
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
    RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$
"""

APPEND_ONLY = ("event", "sealed_event", "feedback")

STEPS = {
    "queued": "sending cancelled suppressed expired failed",
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
            RAISE EXCEPTION 'a message is born queued, not %', NEW.state USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.state <> OLD.state AND NOT (OLD.state || ' ' || NEW.state = ANY (ARRAY[{steps}])) THEN
        RAISE EXCEPTION 'a message does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    op.execute(USER_ID_HOLDS)
    op.execute(REFUSE_CHANGE)
    steps = ", ".join(f"'{old} {new}'" for old, news in STEPS.items() for new in news.split())
    op.execute(MESSAGE_STEP.replace("{steps}", steps))
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
        sa.Column("merged_into", sa.String(), nullable=True),
        sa.Column("customer_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proofs_valid_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sessions_valid_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("(email_state = 'none') = (email IS NULL)", name=op.f("ck_account_email_state_tells_email")),
        sa.CheckConstraint("(state = 'merged') = (merged_into IS NOT NULL)", name=op.f("ck_account_merged_into")),
        sa.CheckConstraint("email_state IN ('none', 'unconfirmed', 'confirmed')", name=op.f("ck_account_email_state")),
        sa.CheckConstraint("kind IN ('consumer', 'business')", name=op.f("ck_account_kind")),
        sa.CheckConstraint("locale IN ('en', 'de')", name=op.f("ck_account_locale")),
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
        "client",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("desk", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("jwks", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id LIKE 'cli\\_%'", name=op.f("ck_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        info={"append_only": True},
    )
    op.create_index("ix_event_transaction_id_id", "event", ["transaction_id", "id"], unique=False)
    op.create_index("ix_event_user_id_id", "event", ["user_id", "id"], unique=False)
    op.create_table(
        "feed",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed")),
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
            "type IN ('provider_accepted', 'delayed', 'delivered', 'bounced', 'soft_bounced', 'dropped', 'complained', 'autoreply', 'relayed')",
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
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "route", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_until"), "idempotency_key", ["until"], unique=False)
    op.create_index(op.f("ix_idempotency_key_user_id"), "idempotency_key", ["user_id"], unique=False)
    op.create_table(
        "inbound",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("envelope_from", sa.String(), nullable=True),
        sa.Column("envelope_to", sa.String(), nullable=True),
        sa.Column("parse_status", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("raw", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound")),
    )
    op.create_index(op.f("ix_inbound_message_id"), "inbound", ["message_id"], unique=False)
    op.create_index(op.f("ix_inbound_received_at"), "inbound", ["received_at"], unique=False)
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("to_addr", sa.String(), nullable=True),
        sa.Column("to_ascii", sa.String(), nullable=True),
        sa.Column("to_hash", sa.LargeBinary(), nullable=True),
        sa.Column("to_domain", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("message_id_header", sa.String(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("pending_key", sa.String(), nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("state", sa.String(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("turns", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_relay", sa.String(), nullable=True),
        sa.Column("relay_queue_id", sa.String(), nullable=True),
        sa.Column("maybe_sent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("delayed_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_class", sa.String(), nullable=True),
        sa.Column("last_code", sa.Integer(), nullable=True),
        sa.Column("last_enhanced", sa.String(), nullable=True),
        sa.Column("last_reply", sa.String(), nullable=True),
        sa.Column("resend_of", sa.Uuid(), nullable=True),
        sa.Column("prefer_relay", sa.String(), nullable=True),
        sa.CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name=op.f("ck_message_lease_token")),
        sa.CheckConstraint("(state = 'sending') = (lease_until IS NOT NULL)", name=op.f("ck_message_lease_until")),
        sa.CheckConstraint(
            "(state IN ('queued', 'deferred')) = (next_attempt_at IS NOT NULL)", name=op.f("ck_message_next_attempt")
        ),
        sa.CheckConstraint("kind IN ('welcome', 'test')", name=op.f("ck_message_kind")),
        sa.CheckConstraint("purpose IN ('security', 'account', 'privacy')", name=op.f("ck_message_purpose")),
        sa.CheckConstraint("state <> 'expired' OR NOT maybe_sent", name=op.f("ck_message_expired_is_certain")),
        sa.CheckConstraint("state <> 'queued' OR attempts = 0", name=op.f("ck_message_queued_is_untried")),
        sa.CheckConstraint("state <> 'unconfirmed' OR maybe_sent", name=op.f("ck_message_unconfirmed_is_not")),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'deferred', 'accepted', 'delivered', 'unconfirmed', 'rejected', 'bounced', 'expired', 'suppressed', 'cancelled', 'failed')",
            name=op.f("ck_message_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('accepted', 'delivered') OR accepted_at IS NOT NULL", name=op.f("ck_message_accepted_at")
        ),
        sa.CheckConstraint(
            "state NOT IN ('sending', 'deferred', 'accepted') OR attempts > 0", name=op.f("ck_message_tried")
        ),
        sa.CheckConstraint("deadline_at > created_at", name=op.f("ck_message_deadline")),
        sa.CheckConstraint("lane IN (0, 5, 9)", name=op.f("ck_message_lane")),
        sa.ForeignKeyConstraint(["resend_of"], ["message.id"], name=op.f("fk_message_resend_of")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_message_idempotency_key")),
        sa.UniqueConstraint("message_id_header", name=op.f("uq_message_message_id_header")),
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
        ["lane", "next_attempt_at", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
    )
    op.create_index(
        "ix_message_lease", "message", ["lease_until"], unique=False, postgresql_where=sa.text("state = 'sending'")
    )
    op.create_index("ix_message_to_hash", "message", ["to_hash", sa.literal_column("created_at DESC")], unique=False)
    op.create_index("ix_message_user_id", "message", ["user_id", sa.literal_column("created_at DESC")], unique=False)
    op.create_index(
        "uq_message_pending_key",
        "message",
        ["pending_key"],
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'deferred', 'sending')"),
    )
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
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_revoked_token")),
    )
    op.create_index(op.f("ix_revoked_token_until"), "revoked_token", ["until"], unique=False)
    op.create_table(
        "ring_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("algorithm", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_from", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("algorithm IN ('ES256', 'EdDSA', 'HMAC')", name=op.f("ck_ring_key_algorithm")),
        sa.CheckConstraint("purpose IN ('signing', 'link', 'address', 'internal')", name=op.f("ck_ring_key_purpose")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ring_key")),
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("to_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("feedback_id", sa.Uuid(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(), nullable=True),
        sa.CheckConstraint("reason IN ('hard_bounce', 'complaint', 'manual')", name=op.f("ck_suppression_reason")),
        sa.CheckConstraint("scope IN ('asks', 'other')", name=op.f("ck_suppression_scope")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
    )
    op.create_index(
        "uq_suppression_live",
        "suppression",
        ["to_hash", "scope"],
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_table(
        "throttle_counter",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttle_counter")),
    )
    op.create_index(op.f("ix_throttle_counter_ends_at"), "throttle_counter", ["ends_at"], unique=False)
    op.create_table(
        "used_assertion",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("jti", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "jti", name=op.f("pk_used_assertion")),
    )
    op.create_index(op.f("ix_used_assertion_until"), "used_assertion", ["until"], unique=False)
    op.create_table(
        "worker",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_worker")),
    )
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
        "client_secret",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_client_secret_client_id")),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_client_secret")),
    )
    op.create_index(op.f("ix_client_secret_client_id"), "client_secret", ["client_id"], unique=False)
    op.create_table(
        "external_reference",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_external_reference_user_id")),
        sa.PrimaryKeyConstraint("client_id", "reference", name=op.f("pk_external_reference")),
    )
    op.create_index(op.f("ix_external_reference_user_id"), "external_reference", ["user_id"], unique=False)
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
    op.execute("INSERT INTO feed (id, epoch) VALUES (1, 1)")
    op.execute(
        "CREATE TRIGGER message_step BEFORE INSERT OR UPDATE OF state ON message FOR EACH ROW EXECUTE FUNCTION message_step()"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    op.drop_table("sealed_event")
    op.drop_index(op.f("ix_external_reference_user_id"), table_name="external_reference")
    op.drop_table("external_reference")
    op.drop_index(op.f("ix_client_secret_client_id"), table_name="client_secret")
    op.drop_table("client_secret")
    op.drop_index("uq_attempt_open", table_name="attempt", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_index("uq_attempt_accepted", table_name="attempt", postgresql_where=sa.text("outcome = 'accepted'"))
    op.drop_table("attempt")
    op.drop_table("worker")
    op.drop_index(op.f("ix_used_assertion_until"), table_name="used_assertion")
    op.drop_table("used_assertion")
    op.drop_index(op.f("ix_throttle_counter_ends_at"), table_name="throttle_counter")
    op.drop_table("throttle_counter")
    op.drop_index("uq_suppression_live", table_name="suppression", postgresql_where=sa.text("lifted_at IS NULL"))
    op.drop_table("suppression")
    op.drop_table("ring_key")
    op.drop_index(op.f("ix_revoked_token_until"), table_name="revoked_token")
    op.drop_table("revoked_token")
    op.drop_table("relay_state")
    op.drop_index(
        "uq_message_pending_key",
        table_name="message",
        postgresql_where=sa.text("state IN ('queued', 'deferred', 'sending')"),
    )
    op.drop_index("ix_message_user_id", table_name="message")
    op.drop_index("ix_message_to_hash", table_name="message")
    op.drop_index("ix_message_lease", table_name="message", postgresql_where=sa.text("state = 'sending'"))
    op.drop_index("ix_message_due", table_name="message", postgresql_where=sa.text("state IN ('queued', 'deferred')"))
    op.drop_index(
        "ix_message_deadline", table_name="message", postgresql_where=sa.text("state IN ('queued', 'deferred')")
    )
    op.drop_index("ix_message_created", table_name="message")
    op.drop_table("message")
    op.drop_index(op.f("ix_inbound_received_at"), table_name="inbound")
    op.drop_index(op.f("ix_inbound_message_id"), table_name="inbound")
    op.drop_table("inbound")
    op.drop_index(op.f("ix_idempotency_key_user_id"), table_name="idempotency_key")
    op.drop_index(op.f("ix_idempotency_key_until"), table_name="idempotency_key")
    op.drop_table("idempotency_key")
    op.drop_index("uq_feedback_source", table_name="feedback")
    op.drop_index("ix_feedback_message_id", table_name="feedback")
    op.drop_table("feedback")
    op.drop_table("feed")
    op.drop_index("ix_event_user_id_id", table_name="event")
    op.drop_index("ix_event_transaction_id_id", table_name="event")
    op.drop_table("event")
    op.drop_table("client")
    op.drop_index(op.f("ix_account_merged_into"), table_name="account")
    op.drop_table("account")
    for function in ("message_step", "refuse_change", "user_id_holds"):
        op.execute(f"DROP FUNCTION {function}")
