-- The CRM's tables as they were before Omni Inbox, with the rows a few years of use leave behind. For MySQL and MariaDB;
-- tests/crm/__init__.py makes the SQLite form of it. Each statement ends with a semicolon at the end of its line.

-- odd values got in while the server was not strict
SET SESSION sql_mode = '';
SET NAMES utf8mb4;

CREATE TABLE social_conversations (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  company_id INT NOT NULL,
  platform ENUM('facebook','chatwoot') NOT NULL,
  external_user_id VARCHAR(255) DEFAULT NULL,
  external_user_name VARCHAR(100) NOT NULL DEFAULT '' COMMENT 'shown 100% as given, CURRENT_TIMESTAMP not included; it''s the customer''s',
  status ENUM('Open','Closed') NOT NULL DEFAULT 'Open',
  last_message_at DATETIME DEFAULT NULL,
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP COMMENT 'kept by the database',
  crm_owner VARCHAR(50) DEFAULT NULL,
  crm_touched_at TIMESTAMP NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (id),
  KEY idx_company (company_id),
  KEY idx_external (external_user_id)
) ENGINE=InnoDB ROW_FORMAT=COMPACT DEFAULT CHARSET=utf8mb3;

CREATE TABLE social_messages (
  id BIGINT NOT NULL AUTO_INCREMENT,
  conversation_id INT UNSIGNED NOT NULL,
  sender_type ENUM('customer','agent') NOT NULL,
  content TEXT,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (id),
  KEY idx_conversation (conversation_id),
  CONSTRAINT fk_message_conversation FOREIGN KEY (conversation_id) REFERENCES social_conversations (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

CREATE TABLE integrations (
  id INT NOT NULL AUTO_INCREMENT,
  company_id INT NOT NULL,
  provider ENUM('facebook','whatsapp','chatwoot') NOT NULL,
  page_id VARCHAR(255) NOT NULL,
  access_token TEXT NOT NULL,
  account_id VARCHAR(255) DEFAULT NULL,
  base_url VARCHAR(500) DEFAULT NULL,
  is_active TINYINT(1) DEFAULT 1,
  is_webhook_active TINYINT(1) DEFAULT 1,
  webhook_mode ENUM('local','live') DEFAULT 'live',
  created_at DATETIME DEFAULT NULL,
  updated_at DATETIME DEFAULT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uq_page (provider, page_id)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

-- company 1 has one Chatwoot integration, company 2 has two, company 3 none
INSERT INTO integrations (id, company_id, provider, page_id, access_token, account_id, base_url, is_active, is_webhook_active, webhook_mode, created_at, updated_at) VALUES
(1, 1, 'facebook', '104857600', 'EAAGclear-text-page-token', NULL, NULL, 1, 1, 'live', '2023-01-05 08:00:00', '2023-01-05 08:00:00'),
(3, 1, 'chatwoot', '7', 'clear-text-token-of-company-1', '2', 'https://chat.example.com', 1, 1, 'live', '2023-02-01 08:00:00', NULL),
(4, 2, 'chatwoot', '8', 'clear-text-token-of-company-2a', '3', 'https://chat.example.com/', 1, 0, 'local', NULL, NULL),
(5, 2, 'chatwoot', '9', 'clear-text-token-of-company-2b', '3', 'https://chat.example.com', NULL, NULL, NULL, NULL, NULL),
(6, 3, 'whatsapp', '15550001111', '', NULL, NULL, 0, 0, 'live', '2023-03-01 08:00:00', '2023-03-01 08:00:00');

INSERT INTO social_conversations (id, company_id, platform, external_user_id, external_user_name, status, last_message_at, created_at, updated_at, crm_owner) VALUES
-- the same conversation three times; the third after its contact was merged into another. The second is the newest
(1, 1, 'chatwoot', 'chatwoot_11_101', 'রহিমা খাতুন', 'Open', '2024-03-01 10:00:00', '2024-03-01 09:00:00', '2024-03-01 10:00:00', 'mina'),
(2, 1, 'chatwoot', 'chatwoot_11_101', 'রহিমা খাতুন', 'Open', '2024-03-02 10:00:00', '2024-03-01 09:00:01', '2024-03-02 10:00:00', NULL),
(3, 1, 'chatwoot', 'chatwoot_99_101', 'Rahima', 'Closed', NULL, '2024-03-01 09:00:02', '2024-03-01 09:00:02', NULL),
(4, 1, 'chatwoot', 'chatwoot_12_102', 'Karim', 'Closed', NULL, '2024-03-03 09:00:00', '2024-03-03 09:00:00', NULL),
(5, 1, 'facebook', '5551234567890', 'Facebook User', 'Open', '2024-03-04 10:00:00', '2024-03-04 09:00:00', '2024-03-04 10:00:00', NULL),
(6, 1, 'chatwoot', 'chatwoot_13_103', '', 'Open', NULL, '2024-03-05 09:00:00', '2024-03-05 09:00:00', NULL),
(7, 1, 'chatwoot', NULL, '', 'Open', NULL, '0000-00-00 00:00:00', '2024-03-05 09:00:00', NULL),
(8, 2, 'chatwoot', 'chatwoot_21_201', 'Two Inboxes', 'Open', '2024-03-06 10:00:00', '2024-03-06 09:00:00', '2024-03-06 10:00:00', NULL),
(9, 3, 'chatwoot', 'chatwoot_31_301', 'No Inbox', 'Open', '2024-03-07 10:00:00', '2024-03-07 09:00:00', '2024-03-07 10:00:00', NULL),
(10, 1, 'chatwoot', 'chatwoot_undefined_104', 'undefined', 'Open', '2024-03-08 10:00:00', '2024-03-08 09:00:00', '2024-03-08 10:00:00', NULL),
(11, 1, 'chatwoot', 'chatwoot_12', 'Odd', 'Open', '2024-03-09 10:00:00', '2024-03-09 09:00:00', '2024-03-09 10:00:00', NULL),
-- a tie: the lower id is the older one
(13, 1, 'chatwoot', 'chatwoot_14_105', 'Tie B', 'Open', '2024-03-10 10:00:00', '2024-03-10 09:00:00', '2024-03-10 10:00:00', NULL),
(12, 1, 'chatwoot', 'chatwoot_14_105', 'Tie A', 'Open', '2024-03-10 10:00:00', '2024-03-10 09:00:00', '2024-03-10 10:00:00', NULL),
(14, 1, 'facebook', 'chatwoot_15_106', 'Wrong platform', 'Closed', NULL, '2024-03-11 09:00:00', '2024-03-11 09:00:00', NULL),
-- MySQL keeps a platform it does not know as ''
(15, 4, 'instagram', '17841400000000000', 'Insta', 'Open', NULL, '2024-03-12 09:00:00', '2024-03-12 09:00:00', NULL);

INSERT INTO social_messages (id, conversation_id, sender_type, content, created_at) VALUES
(1, 1, 'customer', 'আমার অর্ডার কোথায়?', '2024-03-01 09:00:00'),
(2, 1, 'agent', 'Let me look 🙏', '2024-03-01 10:00:00'),
(3, 2, 'customer', 'আমার অর্ডার কোথায়?', '2024-03-01 09:00:00'),
(4, 2, 'customer', 'hello? 👩‍👩‍👧‍👦 it''s me', '2024-03-02 10:00:00'),
(5, 4, 'customer', 'first', '2024-03-03 09:00:00'),
(6, 4, 'agent', 'twice', '2024-03-03 09:30:00'),
(7, 4, 'agent', 'twice', '2024-03-03 09:30:00'),
(8, 4, 'customer', NULL, '2024-03-03 09:45:00'),
(9, 4, 'customer', 'no time', NULL),
(10, 5, 'customer', 'via Facebook', '2024-03-04 10:00:00'),
(11, 8, 'customer', 'আমি বাংলায় গান গাই। আমি বাংলার গান গাই। আমি আমার আমিকে চিরদিন এই বাংলায় খুঁজে পাই। আমি বাংলায় দেখি স্বপ্ন, আমি বাংলায় বাঁধি সুর। আমি এই বাংলার মায়াভরা পথে হেঁটেছি এতটা দূর। বাংলা আমার জীবনানন্দ।', '2024-03-06 10:00:00'),
(12, 12, 'customer', 'tie', '2024-03-10 10:00:00');
