// What this page knows: conversations, messages, and how far the agent has read. No DOM, no network.
// Applying is an upsert by id; an object whose `seq` is not above the one held is older and is left alone,
// so snapshot, socket, polling and the answers to our own writes may arrive in any order.

export class Store {
  #conversations = new Map();
  #threads = new Map(); // conversation id -> {messages: Map by id, hasOlder}; from the oldest one held on none is missing
  #order = []; // ids, newest conversation first once it is asked for
  #isSorted = true;
  #marked = new Map(); // conversation id -> {count}: what is shown as read until the server has said how far it is
  #elsewhere = { Open: 0, Closed: 0, unsent: 0 }; // in conversations that are not held here, as far as the server told
  #listeners = new Set();
  life = 0; // grows with each reset: what was asked for before it belongs to another log

  constructor(agentId) {
    this.agentId = agentId;
  }

  // `listener(conversationIds)`: a Set of what changed, after every change.
  subscribe(listener) {
    this.#listeners.add(listener);
  }

  conversation(id) {
    return this.#conversations.get(id) ?? null;
  }

  // Newest first. Rows without any message go last, in a stable order.
  conversations() {
    // Almost sorted already, which sorting takes advantage of: ten thousand rows cost a millisecond, not ten.
    if (!this.#isSorted) this.#order.sort((a, b) => byNewest(this.#conversations.get(a), this.#conversations.get(b)));
    this.#isSorted = true;
    return this.#order.map((id) => this.#conversations.get(id));
  }

  hasThread(id) {
    return this.#threads.has(id);
  }

  // Oldest first; none of a thread that was never loaded.
  messages(id) {
    return [...(this.#threads.get(id)?.messages.values() ?? [])].sort(byAge);
  }

  // Whether there are messages before the oldest one held.
  hasOlder(id) {
    return this.#threads.get(id)?.hasOlder ?? false;
  }

  // The number of the message that came last, wherever it stands: who has seen it has seen all before it. null: none.
  lastCame(id) {
    return Math.max(0, ...this.messages(id).map((message) => message.id)) || null;
  }

  // null: the agent's `readCount` is not known yet (the conversation was first heard of in an event).
  unread(id) {
    const conversation = this.#conversations.get(id);
    if (conversation?.readCount === undefined) return null;
    return Math.max(0, conversation.inboundCount - Math.max(conversation.readCount, this.#marked.get(id)?.count ?? 0));
  }

  // {Open, Closed, unsent}: how many conversations have something unread, or a reply that was not sent, also of those that are not held here.
  counts() {
    const counts = { ...this.#elsewhere };
    for (const [id, { status, unsentReply }] of this.#conversations) {
      if (this.unread(id)) counts[status]++;
      if (unsentReply) counts.unsent++;
    }
    return counts;
  }

  // `theirs`: what the server counted; `ours`: what was counted here at the same place of the log.
  recount(theirs, ours = this.counts()) {
    for (const name in theirs) this.#elsewhere[name] += theirs[name] - ours[name];
    this.#tell(new Set([0]));
  }

  // Conversations as REST gives them.
  load(conversations) {
    const changed = new Set();
    for (const conversation of conversations) this.#putOwn(conversation, changed);
    this.#tell(changed);
  }

  // A conversation with a page of its `messages`: the newest, or those before the oldest one held. At most `limit` were asked for.
  loadThread({ messages, ...conversation }, limit) {
    const { id } = conversation;
    const changed = new Set([id]);
    this.#putOwn(conversation, changed);
    if (!this.#threads.has(id)) this.#threads.set(id, { messages: new Map() });
    const thread = this.#threads.get(id);
    thread.hasOlder = messages.length >= limit;
    for (const message of messages) this.#putMessage(thread, message, true);
    this.#tell(changed);
  }

  // After a reset: another life of the log counts its events anew, so nothing held may be compared with it.
  // `thread`: the open conversation with at most `limit` messages, or null. The others are fetched when they are opened.
  replace(conversations, thread, limit) {
    this.life++;
    const counts = this.counts(); // the best there is, until they are counted again
    const changed = new Set(this.#conversations.keys());
    this.#conversations.clear();
    this.#threads.clear();
    this.#order = [];
    for (const conversation of conversations) this.#putOwn(conversation, changed);
    if (thread) this.loadThread(thread, limit);
    this.recount(counts);
    this.#tell(changed);
  }

  loadMessage(message) {
    const thread = this.#threads.get(message.conversationId);
    if (thread && this.#putMessage(thread, message)) this.#tell(new Set([message.conversationId]));
  }

  // One event of the log, from the socket or from polling.
  apply({ kind, data }) {
    const { conversation, message } = data;
    const changed = new Set();
    if (conversation) {
      // What is read for everyone may be less than what this agent has read: it says nothing where that is not known.
      const isOwnRead = kind === "conversation.read" && (data.agentId ?? this.agentId) === this.agentId && this.unread(conversation.id) !== null;
      this.#put({ readCount: kind === "conversation.created" ? 0 : isOwnRead ? data.readCount : undefined, ...conversation }, changed);
    }
    if (message && this.#putMessage(this.#threads.get(message.conversationId), message)) changed.add(message.conversationId);
    this.#tell(changed);
  }

  // The agent looks at it now: shown as read at once. The caller tells the server, whose word counts from `settle()`, returned here, on.
  markRead(id) {
    const mark = { count: this.#conversations.get(id).inboundCount };
    const show = () => this.#tell(new Set([id]));
    this.#marked.set(id, mark);
    show();
    return () => this.#marked.get(id) === mark && this.#marked.delete(id) && show();
  }

  // `thread` is undefined for a conversation that was never opened.
  // `isOfPage`: it comes with its whole neighbourhood. Alone, one that is older than all that are held would leave a hole behind it: it is
  // on a page that was not loaded yet.
  #putMessage(thread, message, isOfPage = false) {
    if (!thread) return false;
    const { messages, hasOlder } = thread;
    const held = messages.get(message.id);
    if (held ? message.seq <= held.seq : !isOfPage && hasOlder && isBelow(message, messages)) return false;
    messages.set(message.id, message);
    return true;
  }

  // As REST gives it, with what belongs to this agent: what was counted among the others is counted here from now on.
  #putOwn(conversation, changed) {
    if (conversation.unsentReply && !this.#conversations.has(conversation.id)) this.#elsewhere.unsent--;
    if (this.unread(conversation.id) === null) this.#elsewhere[conversation.status] -= conversation.unreadCount ? 1 : 0;
    this.#put(conversation, changed);
  }

  #put(conversation, changed) {
    const held = this.#conversations.get(conversation.id);
    if (!held) {
      this.#conversations.set(conversation.id, conversation);
      this.#order.push(conversation.id);
    } else if (conversation.seq > held.seq) {
      // Events carry neither readCount nor unreadCount: what belongs to this agent alone survives them.
      this.#conversations.set(conversation.id, { ...held, ...conversation, readCount: furthest(held, conversation) });
    } else if (furthest(held, conversation) !== held.readCount) {
      this.#conversations.set(conversation.id, { ...held, readCount: furthest(held, conversation) });
    } else {
      return;
    }
    this.#isSorted = false;
    changed.add(conversation.id);
  }

  #tell(changed) {
    if (changed.size === 0) return;
    for (const listener of this.#listeners) {
      try {
        listener(changed);
      } catch (error) {
        reportError(error);
      }
    }
  }
}

function isBelow(message, messages) {
  for (const held of messages.values()) if (byAge(held, message) < 0) return false;
  return true;
}

// Reading only goes forward: an answer that was overtaken must not make messages unread again.
function furthest(held, next) {
  if (held.readCount === undefined || next.readCount === undefined) return held.readCount ?? next.readCount;
  return Math.max(held.readCount, next.readCount);
}

const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const second = ({ createdAt }) => createdAt?.slice(0, 19) ?? "";

function byNewest(a, b) {
  return order(b.lastMessageAt ?? "", a.lastMessageAt ?? "") || b.id - a.id;
}

// By the second; in it by Chatwoot's number, as the fraction is known of some messages only. As server/core/state/thread_order.py.
function byAge(a, b) {
  return order(second(a), second(b)) || order(a.chatwootMessageId ?? Infinity, b.chatwootMessageId ?? Infinity) || a.id - b.id;
}
