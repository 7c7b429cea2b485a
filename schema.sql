-- Omni Inbox: tables for MySQL 8 and MariaDB 10.6 or newer.
-- Rendered from server/db/schema/tables.py by `python -m server.db.schema.render`; do not edit.
--
-- It may be loaded again at any time: tables that exist are left as they are. A database that holds the CRM's
-- social_conversations, social_messages and integrations is upgraded in place with `omni-inbox db upgrade` instead, which also
-- creates everything in an empty one.
--
-- Columns of type DATETIME(6) are naive UTC. Columns of type BIGINT that are times hold microseconds since 1970-01-01 UTC.

SET NAMES utf8mb4;

-- A Chatwoot inbox (or an older provider) of a company
CREATE TABLE IF NOT EXISTS integrations (
  id BIGINT NOT NULL AUTO_INCREMENT,
  company_id BIGINT NOT NULL,
  provider ENUM('facebook','whatsapp','chatwoot') NOT NULL,
  page_id VARCHAR(255) COMMENT 'Chatwoot inbox id',
  access_token TEXT,
  account_id VARCHAR(255) COMMENT 'Chatwoot account id',
  base_url VARCHAR(500),
  is_active BOOL NOT NULL DEFAULT '1',
  is_webhook_active BOOL NOT NULL DEFAULT '1',
  webhook_mode ENUM('local','live') NOT NULL DEFAULT 'live',
  created_at DATETIME(6),
  updated_at DATETIME(6),
  omni_webhook_secret TEXT,
  omni_previous_webhook_secret TEXT COMMENT 'accepted beside the new one while a rotation is under way',
  omni_previous_secret_until BIGINT COMMENT 'what was received later is not accepted with the previous secret, microseconds',
  omni_is_socket_active BOOL NOT NULL COMMENT 'hears /cable, too' DEFAULT '1',
  omni_unsigned_webhooks VARCHAR(16) NOT NULL COMMENT 'refused, keyed, accepted' DEFAULT 'refused',
  omni_webhook_key TEXT COMMENT 'stands in the webhook''s address where unsigned ones are `keyed`',
  omni_proved_at BIGINT COMMENT 'when Chatwoot showed the inbox to the access token, microseconds; 1: older than proofs',
  omni_webhook_seen_at BIGINT COMMENT 'last accepted delivery, microseconds',
  omni_reconciled_at BIGINT COMMENT 'up to here reconcile has looked, microseconds',
  omni_walked_at BIGINT COMMENT 'when the last round of reconcile began, in whatever process, microseconds',
  omni_repaired_at BIGINT COMMENT 'when the newest of what reconcile repaired had happened, microseconds',
  omni_walk_problem VARCHAR(255) COMMENT 'why the last round could not ask Chatwoot',
  omni_lease_until BIGINT NOT NULL COMMENT 'a process walks this integration until then, microseconds' DEFAULT '0',
  omni_sync_page INTEGER NOT NULL COMMENT 'not used any more' DEFAULT '0',
  omni_sync_began_at BIGINT COMMENT 'when the sync began that has not come to its end, microseconds',
  omni_history_began_at BIGINT COMMENT 'when the comparison of its history began that is under way, microseconds',
  omni_history_until BIGINT NOT NULL COMMENT 'a process compares its history until then, microseconds' DEFAULT '0',
  omni_verified_at BIGINT COMMENT 'when all of its history was last found to be here, microseconds',
  omni_repaired_count BIGINT NOT NULL COMMENT 'changes whose webhook was lost' DEFAULT '0',
  omni_chatwoot_problem VARCHAR(500) COMMENT 'what Chatwoot lacks or refuses, as it was seen last',
  omni_watched_at BIGINT COMMENT 'when that was looked at last, in whatever process, microseconds',
  omni_inbox_name VARCHAR(255) COMMENT 'as Chatwoot had it last',
  omni_token_user_id BIGINT COMMENT 'the access token''s owner, as Chatwoot had it last',
  omni_inbox_addresses VARCHAR(600) COMMENT 'where mail to the inbox goes, as Chatwoot had it last, with commas',
  omni_deleted_at BIGINT COMMENT 'when an administrator deleted it; the row stays for its conversations, microseconds',
  omni_reissued_at BIGINT COMMENT 'when Chatwoot last gave out a number again, microseconds',
  omni_refused_own_tokens VARCHAR(16) NOT NULL COMMENT 'what becomes of a reply whose agent''s own token is refused: fail, fallback' DEFAULT 'fail',
  PRIMARY KEY (id),
  KEY omni_ix_integration_company (company_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='A Chatwoot inbox (or an older provider) of a company';

-- Sign-ins of the web inbox
CREATE TABLE IF NOT EXISTS omni_agent_sessions (
  token_hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'SHA-256 of the cookie',
  agent_id BIGINT NOT NULL,
  created_at BIGINT NOT NULL COMMENT 'microseconds',
  expires_at BIGINT NOT NULL COMMENT 'microseconds',
  revoked_at BIGINT COMMENT 'microseconds',
  address VARCHAR(64) COMMENT 'IP address it was made from',
  client VARCHAR(255) COMMENT 'the browser''s own name, User-Agent',
  PRIMARY KEY (token_hash),
  KEY omni_ix_session_agent (agent_id),
  KEY omni_ix_session_expiry (expires_at),
  KEY omni_ix_session_revoked (revoked_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Sign-ins of the web inbox';

-- People who read and answer; those of the CRM are listed when first seen
CREATE TABLE IF NOT EXISTS omni_agents (
  id BIGINT NOT NULL AUTO_INCREMENT,
  company_id BIGINT NOT NULL,
  subject VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'claim sub of this agent''s tokens',
  email VARCHAR(255),
  name VARCHAR(255) NOT NULL,
  `role` VARCHAR(16) NOT NULL COMMENT 'agent, admin' DEFAULT 'agent',
  password_hash TEXT,
  is_active BOOL NOT NULL DEFAULT '1',
  valid_after BIGINT NOT NULL COMMENT 'tokens and sessions issued before are refused, microseconds' DEFAULT '0',
  created_at BIGINT NOT NULL COMMENT 'microseconds',
  updated_at BIGINT NOT NULL COMMENT 'microseconds; watched by every process',
  preferences TEXT COMMENT 'JSON: what the agent has chosen; no change of `updated_at`',
  is_role_ours BOOL NOT NULL COMMENT 'an administrator here gave or took the role: the CRM''s tokens cannot raise it' DEFAULT '0',
  PRIMARY KEY (id),
  KEY omni_ix_agent_updated (updated_at),
  UNIQUE KEY omni_uq_agent_email (email),
  UNIQUE KEY omni_uq_agent_subject (company_id, subject)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='People who read and answer; those of the CRM are listed when first seen';

-- Administrative acts, and attempts at what is not theirs
CREATE TABLE IF NOT EXISTS omni_audit_log (
  id BIGINT NOT NULL AUTO_INCREMENT,
  company_id BIGINT NOT NULL,
  at BIGINT NOT NULL COMMENT 'microseconds',
  agent_id BIGINT COMMENT 'agents.id of who did it; none: a command on the server, or somebody unknown',
  actor VARCHAR(255) NOT NULL COMMENT 'name or address of who did it, as it was then',
  act VARCHAR(64) NOT NULL,
  target VARCHAR(255) COMMENT 'what it was done to',
  detail TEXT COMMENT 'JSON; never a secret, never a message''s text',
  address VARCHAR(64) COMMENT 'IP address it came from',
  client VARCHAR(255) COMMENT 'the client''s own name, User-Agent',
  PRIMARY KEY (id),
  KEY omni_ix_audit_age (at),
  KEY omni_ix_audit_agent (agent_id, act, at),
  KEY omni_ix_audit_company (company_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Administrative acts, and attempts at what is not theirs';

-- Texts a company answers with again and again
CREATE TABLE IF NOT EXISTS omni_canned_replies (
  id BIGINT NOT NULL AUTO_INCREMENT,
  company_id BIGINT NOT NULL,
  shortcut VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'lower case; what is typed after /',
  content TEXT NOT NULL,
  updated_at BIGINT NOT NULL COMMENT 'microseconds',
  PRIMARY KEY (id),
  UNIQUE KEY omni_uq_canned_shortcut (company_id, shortcut)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Texts a company answers with again and again';

-- Which process listens to the agents' socket of a company's Chatwoot account, and how that goes
CREATE TABLE IF NOT EXISTS omni_chatwoot_sockets (
  id BIGINT NOT NULL AUTO_INCREMENT,
  company_id BIGINT NOT NULL,
  place VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'SHA-256 of the Chatwoot''s address and the account''s number',
  holder VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'process that listens there',
  lease_until BIGINT NOT NULL COMMENT 'by then it has said that it lives, microseconds',
  state VARCHAR(16) NOT NULL COMMENT 'away, connecting, live, refused' DEFAULT 'away',
  problem VARCHAR(255),
  connected_at BIGINT COMMENT 'microseconds',
  heard_at BIGINT COMMENT 'last news, microseconds',
  behind_us BIGINT COMMENT 'how long the last new message had taken, microseconds',
  PRIMARY KEY (id),
  UNIQUE KEY omni_uq_chatwoot_socket (company_id, place)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Which process listens to the agents'' socket of a company''s Chatwoot account, and how that goes';

-- What a company's administrators ask of its agents
CREATE TABLE IF NOT EXISTS omni_company_policies (
  company_id BIGINT NOT NULL,
  requires_second_factor BOOL NOT NULL DEFAULT '0',
  updated_at BIGINT NOT NULL COMMENT 'microseconds',
  PRIMARY KEY (company_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='What a company''s administrators ask of its agents';

-- How far each agent has read
CREATE TABLE IF NOT EXISTS omni_conversation_reads (
  agent_id BIGINT NOT NULL,
  conversation_id BIGINT NOT NULL,
  read_count INTEGER NOT NULL COMMENT 'inbound_count up to which the agent has read',
  message_id BIGINT,
  updated_at BIGINT NOT NULL COMMENT 'microseconds',
  PRIMARY KEY (agent_id, conversation_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='How far each agent has read';

-- Rows that another program wrote and that have no event yet; written by triggers, in that program's transaction
CREATE TABLE IF NOT EXISTS omni_crm_changes (
  id BIGINT NOT NULL AUTO_INCREMENT,
  company_id BIGINT COMMENT 'whose turn it takes; NULL: not looked up; below 0: of no company',
  subject SMALLINT NOT NULL COMMENT '1 conversation, 2 message, 3 integration, 4 compare everything, 5 polled so far',
  act VARCHAR(1) NOT NULL COMMENT 'I inserted, U updated, D deleted or moved, A address of an integration',
  row_id BIGINT NOT NULL,
  conversation_id BIGINT NOT NULL DEFAULT '0',
  PRIMARY KEY (id),
  KEY omni_ix_crm_change_turn (company_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Rows that another program wrote and that have no event yet; written by triggers, in that program''s transaction';

-- When runs of events were written to the agents of one process: a row for each walk, not for each socket
CREATE TABLE IF NOT EXISTS omni_event_reach (
  id BIGINT NOT NULL AUTO_INCREMENT,
  company_id BIGINT NOT NULL,
  first_seq BIGINT NOT NULL,
  last_seq BIGINT NOT NULL,
  first_at BIGINT NOT NULL COMMENT 'written to the first socket, microseconds',
  last_at BIGINT NOT NULL COMMENT 'written to the last socket, microseconds',
  sockets INTEGER NOT NULL COMMENT 'sockets of this process it was written to',
  PRIMARY KEY (id),
  KEY omni_ix_reach_age (last_at),
  KEY omni_ix_reach_seq (company_id, last_seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='When runs of events were written to the agents of one process: a row for each walk, not for each socket';

-- What asking Chatwoot found before any webhook told of it
CREATE TABLE IF NOT EXISTS omni_found_by_asking (
  id BIGINT NOT NULL AUTO_INCREMENT,
  integration_id BIGINT NOT NULL,
  kind VARCHAR(16) NOT NULL COMMENT 'message, edit, conversation',
  number BIGINT NOT NULL COMMENT 'Chatwoot''s number of the message or conversation',
  happened_at BIGINT NOT NULL COMMENT 'by Chatwoot''s clock, microseconds',
  found_at BIGINT NOT NULL COMMENT 'microseconds',
  came_at BIGINT COMMENT 'when its webhook came after all, microseconds',
  state VARCHAR(8) NOT NULL COMMENT 'open, late, lost',
  PRIMARY KEY (id),
  KEY omni_ix_found_integration (integration_id, found_at),
  KEY omni_ix_found_state (state, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='What asking Chatwoot found before any webhook told of it';

-- The event log: ordered and immutable
CREATE TABLE IF NOT EXISTS omni_inbox_events (
  company_id BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  created_at BIGINT NOT NULL COMMENT 'microseconds',
  body MEDIUMTEXT NOT NULL COMMENT 'the event as clients get it, JSON',
  PRIMARY KEY (company_id, seq),
  KEY omni_ix_event_age (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='The event log: ordered and immutable';

-- One row a company; locked by every transaction that changes the company's state
CREATE TABLE IF NOT EXISTS omni_inbox_streams (
  company_id BIGINT NOT NULL,
  epoch VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'random name of one life of the event log',
  head BIGINT NOT NULL COMMENT 'newest seq' DEFAULT '0',
  floor BIGINT NOT NULL COMMENT 'oldest kept seq less one: a cursor below it must reset' DEFAULT '0',
  PRIMARY KEY (company_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='One row a company; locked by every transaction that changes the company''s state';

-- What makes the processes on this database one installation; a copy of the database should get another row
CREATE TABLE IF NOT EXISTS omni_installation (
  id BIGINT NOT NULL COMMENT 'always 1' AUTO_INCREMENT,
  name VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  secret VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'signs what processes tell each other over the bus',
  created_at BIGINT NOT NULL COMMENT 'microseconds',
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='What makes the processes on this database one installation; a copy of the database should get another row';

-- Links by which somebody becomes an agent, or an agent sets a new password
CREATE TABLE IF NOT EXISTS omni_invitations (
  token_hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'SHA-256 of the link''s token',
  company_id BIGINT NOT NULL,
  email VARCHAR(255) NOT NULL,
  name VARCHAR(255) NOT NULL,
  `role` VARCHAR(16) NOT NULL COMMENT 'agent, admin',
  created_at BIGINT NOT NULL COMMENT 'microseconds',
  expires_at BIGINT NOT NULL COMMENT 'microseconds',
  accepted_at BIGINT COMMENT 'microseconds',
  invited_by BIGINT COMMENT 'agents.id of who made it; none: a command on the server',
  PRIMARY KEY (token_hash),
  KEY omni_ix_invitation_company (company_id, expires_at),
  KEY omni_ix_invitation_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Links by which somebody becomes an agent, or an agent sets a new password';

-- Files of replies written here
CREATE TABLE IF NOT EXISTS omni_outgoing_files (
  message_id BIGINT NOT NULL,
  position SMALLINT NOT NULL COMMENT 'index in the message''s attachments',
  upload VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'where its pieces are',
  name VARCHAR(255) NOT NULL,
  content_type VARCHAR(128) NOT NULL,
  size_bytes BIGINT NOT NULL,
  digest VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'SHA-256 of the content',
  created_at BIGINT NOT NULL COMMENT 'microseconds',
  PRIMARY KEY (message_id, position),
  KEY omni_ix_outgoing_age (created_at),
  KEY omni_ix_outgoing_upload (upload)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Files of replies written here';

-- The content of such files, until Chatwoot has it
CREATE TABLE IF NOT EXISTS omni_outgoing_pieces (
  upload VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  position SMALLINT NOT NULL,
  piece INTEGER NOT NULL,
  content MEDIUMBLOB NOT NULL,
  created_at BIGINT NOT NULL COMMENT 'microseconds',
  PRIMARY KEY (upload, position, piece),
  KEY omni_ix_piece_age (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='The content of such files, until Chatwoot has it';

-- Agents' own access tokens of Chatwoot, by which they reply under their own names
CREATE TABLE IF NOT EXISTS omni_own_tokens (
  agent_id BIGINT NOT NULL,
  integration_id BIGINT NOT NULL,
  company_id BIGINT NOT NULL,
  base_url VARCHAR(500) NOT NULL COMMENT 'the Chatwoot it was given for: it is sent to no other',
  account_id BIGINT NOT NULL COMMENT 'Chatwoot account id',
  access_token TEXT NOT NULL COMMENT 'sealed with SECRET_KEY',
  user_id BIGINT NOT NULL COMMENT 'id of its owner in Chatwoot',
  name VARCHAR(255) NOT NULL COMMENT 'of its owner in Chatwoot',
  email VARCHAR(255) COMMENT 'of its owner in Chatwoot',
  connected_at BIGINT NOT NULL COMMENT 'microseconds',
  checked_at BIGINT NOT NULL COMMENT 'accepted at its last check, microseconds',
  refused_at BIGINT COMMENT 'since when Chatwoot refuses it, microseconds',
  refusal TEXT COMMENT 'why, as a problem',
  PRIMARY KEY (agent_id, integration_id),
  KEY omni_ix_own_token_company (company_id),
  KEY omni_ix_own_token_integration (integration_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Agents'' own access tokens of Chatwoot, by which they reply under their own names';

-- Codes that stand in for a phone that is gone, each once
CREATE TABLE IF NOT EXISTS omni_recovery_codes (
  agent_id BIGINT NOT NULL,
  code_hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'SHA-256; the code itself was shown once',
  used_at BIGINT COMMENT 'microseconds',
  PRIMARY KEY (agent_id, code_hash)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Codes that stand in for a phone that is gone, each once';

-- Agents who sign in with a code beside their password
CREATE TABLE IF NOT EXISTS omni_second_factors (
  agent_id BIGINT NOT NULL,
  secret TEXT NOT NULL COMMENT 'of the authenticator app, sealed with SECRET_KEY',
  last_step BIGINT NOT NULL COMMENT 'time step of the code used last: each counts once',
  created_at BIGINT NOT NULL COMMENT 'microseconds',
  PRIMARY KEY (agent_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Agents who sign in with a code beside their password';

-- The key by which the first administrator is made, while there is none
CREATE TABLE IF NOT EXISTS omni_setup_keys (
  purpose VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'first administrator: there is one key at a time',
  token_hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'SHA-256 of the key; the key itself is in the process that shows it',
  heard_at BIGINT NOT NULL COMMENT 'the process that shows it lives, microseconds',
  PRIMARY KEY (purpose)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='The key by which the first administrator is made, while there is none';

-- Sign-ins between password and code
CREATE TABLE IF NOT EXISTS omni_sign_in_tickets (
  token_hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'SHA-256 of what the browser holds',
  agent_id BIGINT NOT NULL,
  new_secret TEXT COMMENT 'sealed; set where the second factor is being set up',
  attempts SMALLINT NOT NULL DEFAULT '0',
  expires_at BIGINT NOT NULL COMMENT 'microseconds',
  PRIMARY KEY (token_hash),
  KEY omni_ix_ticket_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Sign-ins between password and code';

-- Which walk through an integration's Chatwoot is the only one of all processes
CREATE TABLE IF NOT EXISTS omni_sync_leases (
  integration_id BIGINT NOT NULL,
  holder VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'the walk that has it',
  lease_until BIGINT NOT NULL COMMENT 'by then it has said that it lives, microseconds; 0: it has ended',
  outcome TEXT COMMENT 'JSON of what the last walk found, for those who waited for it',
  PRIMARY KEY (integration_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='Which walk through an integration''s Chatwoot is the only one of all processes';

-- The last sync of each integration that was asked for on its page: how far it came
CREATE TABLE IF NOT EXISTS omni_sync_runs (
  integration_id BIGINT NOT NULL,
  state VARCHAR(16) NOT NULL COMMENT 'asked, running, stopping, stopped, done, failed',
  asked_at BIGINT NOT NULL COMMENT 'microseconds',
  started_at BIGINT COMMENT 'when the walk began or went on, microseconds',
  updated_at BIGINT NOT NULL COMMENT 'the walking process lives, microseconds',
  total INTEGER COMMENT 'conversations there are in Chatwoot',
  conversations INTEGER NOT NULL COMMENT 'walked' DEFAULT '0',
  walked_before INTEGER NOT NULL COMMENT 'of these, before the walk went on: no part of its rate' DEFAULT '0',
  messages INTEGER NOT NULL COMMENT 'read' DEFAULT '0',
  created INTEGER NOT NULL COMMENT 'messages that were not here' DEFAULT '0',
  problem VARCHAR(255),
  PRIMARY KEY (integration_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='The last sync of each integration that was asked for on its page: how far it came';

-- The journal: every webhook delivery as it came
CREATE TABLE IF NOT EXISTS omni_webhook_deliveries (
  id BIGINT NOT NULL AUTO_INCREMENT,
  uid VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'made on arrival: makes a repeated append a no-op',
  received_at BIGINT NOT NULL COMMENT 'microseconds',
  state VARCHAR(16) NOT NULL COMMENT 'received, done, ignored, dead' DEFAULT 'received',
  reason VARCHAR(255),
  integration_id BIGINT COMMENT 'known when the signature was checked on arrival',
  is_verified BOOL NOT NULL DEFAULT '0',
  headers TEXT COMMENT 'JSON: what is needed to check the signature later',
  body MEDIUMTEXT NOT NULL COMMENT 'raw body, credentials stripped',
  attempts SMALLINT NOT NULL DEFAULT '0',
  next_attempt_at BIGINT NOT NULL COMMENT 'microseconds; 0: at once' DEFAULT '0',
  finished_at BIGINT COMMENT 'microseconds',
  company_id BIGINT NOT NULL COMMENT 'whose turn it takes in ingest; 0: not judged, -1: no one''s' DEFAULT '0',
  PRIMARY KEY (id),
  KEY omni_ix_delivery_age (received_at),
  KEY omni_ix_delivery_state (state, next_attempt_at, id),
  KEY omni_ix_delivery_turn (state, next_attempt_at, company_id, id),
  UNIQUE KEY omni_uq_delivery_uid (uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='The journal: every webhook delivery as it came';

-- A customer's conversation with a company
CREATE TABLE IF NOT EXISTS social_conversations (
  id BIGINT NOT NULL AUTO_INCREMENT,
  company_id BIGINT NOT NULL,
  platform ENUM('facebook','chatwoot') NOT NULL,
  external_user_id VARCHAR(255) COMMENT 'chatwoot_{contactId}_{conversationId}; not the key: a contact merge changes it',
  external_user_name VARCHAR(255),
  status ENUM('Open','Closed') NOT NULL DEFAULT 'Open',
  last_message_at DATETIME(6),
  created_at DATETIME(6),
  updated_at DATETIME(6),
  omni_integration_id BIGINT COMMENT 'with chatwoot_conversation_id: the key of a Chatwoot conversation',
  omni_chatwoot_conversation_id BIGINT COMMENT 'display id, unique per Chatwoot account',
  omni_chatwoot_status VARCHAR(16) COMMENT 'open, resolved, pending, snoozed',
  omni_chatwoot_version BIGINT NOT NULL COMMENT 'updated_at of the newest state applied, microseconds' DEFAULT '0',
  omni_channel VARCHAR(64),
  omni_contact TEXT COMMENT 'JSON: id, email, phone, identifier',
  omni_assignee TEXT COMMENT 'JSON: id, name',
  omni_labels TEXT COMMENT 'JSON: list of text',
  omni_priority VARCHAR(16),
  omni_waiting_since BIGINT COMMENT 'microseconds',
  omni_can_reply BOOL,
  omni_contact_seen_at BIGINT COMMENT 'when the customer looked at it last, as Chatwoot says, microseconds',
  omni_preview TEXT COMMENT 'JSON: the message that stands for it in the list, and the reply that was not sent',
  omni_is_unsent BOOL NOT NULL COMMENT 'whether omni_preview names a reply that was not sent: found by an index' DEFAULT '0',
  omni_inbound_count INTEGER NOT NULL COMMENT 'messages the customer ever sent here' DEFAULT '0',
  omni_last_inbound_at BIGINT COMMENT 'when the customer wrote last, microseconds: reply windows begin there',
  omni_read_count INTEGER NOT NULL COMMENT 'of inbound_count: how many are read for everyone' DEFAULT '0',
  omni_read_to BIGINT NOT NULL COMMENT 'what came until then is read for everyone, microseconds' DEFAULT '0',
  omni_gone_at BIGINT COMMENT 'when Chatwoot said that it no longer has it, microseconds',
  omni_last_message_number BIGINT COMMENT 'chatwoot_message_id of the newest public message: which of one second it is',
  omni_seq BIGINT NOT NULL COMMENT 'event that changed this row last' DEFAULT '0',
  omni_verified_at BIGINT COMMENT 'when all of its messages in Chatwoot were last compared, microseconds',
  omni_told_at BIGINT NOT NULL COMMENT 'when this state was told to us, microseconds of our clock' DEFAULT '0',
  omni_former_number BIGINT COMMENT 'display id that Chatwoot has given to another conversation since',
  omni_marks TEXT COMMENT 'JSON: snoozed_until_us, team, is_blocked, inbox_name, mail_subject, given_email',
  omni_search_text MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT 'customer''s name, numbers and addresses in the form that is searched',
  PRIMARY KEY (id),
  KEY omni_ix_conversation_contact (omni_integration_id, external_user_id),
  KEY omni_ix_conversation_list (company_id, last_message_at, id),
  KEY omni_ix_conversation_status (company_id, status, last_message_at, id),
  KEY omni_ix_conversation_unsent (company_id, omni_is_unsent),
  UNIQUE KEY omni_uq_conversation_chatwoot (omni_integration_id, omni_chatwoot_conversation_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='A customer''s conversation with a company';

-- A message of a conversation; replies written here are the outbox while delivery_state is sending
CREATE TABLE IF NOT EXISTS social_messages (
  id BIGINT NOT NULL AUTO_INCREMENT,
  conversation_id BIGINT NOT NULL,
  sender_type ENUM('customer','agent') NOT NULL,
  content MEDIUMTEXT,
  created_at DATETIME(6),
  omni_chatwoot_message_id BIGINT COMMENT 'unique in a Chatwoot installation',
  omni_chatwoot_version BIGINT NOT NULL COMMENT 'the conversation''s updated_at then, microseconds' DEFAULT '0',
  omni_told_at BIGINT NOT NULL COMMENT 'when this state was told to us, microseconds of our clock' DEFAULT '0',
  omni_client_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT 'Idempotency-Key of a reply written here; Chatwoot carries it as a marker',
  omni_agent_id BIGINT COMMENT 'agents.id of a reply written here',
  omni_sender_name VARCHAR(255),
  omni_content_type VARCHAR(32),
  omni_attachments MEDIUMTEXT COMMENT 'JSON: list',
  omni_is_private BOOL NOT NULL DEFAULT '0',
  omni_is_deleted BOOL NOT NULL DEFAULT '0',
  omni_edited_at BIGINT COMMENT 'when we were told another text than before, microseconds',
  omni_delivery_state VARCHAR(16) COMMENT 'outbox: sending, sent, failed; as Chatwoot tells: delivered, read',
  omni_delivery_error TEXT COMMENT 'JSON: code, message',
  omni_delivery_attempts SMALLINT NOT NULL DEFAULT '0',
  omni_next_attempt_at BIGINT COMMENT 'outbox: when the sender takes it next, microseconds',
  omni_is_outcome_unknown BOOL NOT NULL COMMENT 'an attempt may have reached Chatwoot' DEFAULT '0',
  omni_chatwoot_answered_at BIGINT COMMENT 'outbox: when Chatwoot first answered after an attempt of unknown outcome, microseconds',
  omni_seq BIGINT NOT NULL COMMENT 'event that changed this row last' DEFAULT '0',
  omni_former_number BIGINT COMMENT 'id that Chatwoot has given to another message since',
  omni_request MEDIUMTEXT COMMENT 'JSON: what a reply written here was asked to be, besides its text',
  omni_details MEDIUMTEXT COMMENT 'JSON: what it has besides its text and files, NULL: nothing',
  omni_search_text MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT 'content in the form that is searched; NULL: not made yet',
  PRIMARY KEY (id),
  KEY omni_ix_message_answered (omni_chatwoot_answered_at),
  KEY omni_ix_message_outbox (omni_delivery_state, omni_next_attempt_at),
  KEY omni_ix_message_thread (conversation_id, created_at, id),
  UNIQUE KEY omni_uq_message_chatwoot (conversation_id, omni_chatwoot_message_id),
  UNIQUE KEY omni_uq_message_client (conversation_id, omni_client_id),
  FOREIGN KEY (conversation_id) REFERENCES social_conversations (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='A message of a conversation; replies written here are the outbox while delivery_state is sending';
