/** What the app is shown of the socket. `live`: events arrive; `polling`: as before, and a socket is tried again; `stopped`: for good. */
export type InboxPushStatus = "connecting" | "catching-up" | "live" | "polling" | "stopped";

/** The part of a QueryClient (v4 or v5) that is used. */
export interface QueryClientLike {
  getQueryCache(): unknown;
  setQueryData(key: readonly unknown[], data: unknown): unknown;
  invalidateQueries(filters: { queryKey: readonly unknown[]; exact?: boolean }, options?: { cancelRefetch?: boolean }): Promise<void>;
}

export interface InboxPushConversation {
  id: number;
  status: "Open" | "Closed";
  platform: string;
  seq: number;
  lastMessageAt: string | null;
  [field: string]: unknown;
}

export interface InboxPushOptions {
  /** Address of the socket; default `/ws` of this page's server. */
  url?: string;
  /** The CRM's token, or what gives it; asked for again at each connection. Without one the session cookie counts. */
  token?: string | null | (() => string | null | Promise<string | null>);
  /** The keys the app polls under: how list keys begin, and a thread's key for a conversation's id. */
  keys?: {
    list?: readonly unknown[];
    thread?: (conversationId: number | string) => readonly unknown[];
  };
  /** Whether a conversation belongs in the list of that key. With it lists are kept without any fetch; without it only rows that
   *  are there already are replaced, and a new or moved one makes the list fetch once. */
  accepts?: (conversation: InboxPushConversation, queryKey: readonly unknown[]) => boolean;
  /** For tests: how a socket is opened, and the jitter. */
  socket?: (url: string) => WebSocket;
  random?: () => number;
}

export interface InboxPush {
  /** For `useSyncExternalStore(push.subscribe, push.getSnapshot)`. */
  subscribe(listener: () => void): () => void;
  getSnapshot(): InboxPushStatus;
  /** A `refetchInterval` that is twelve times as long while the socket is live. Numbers in components are stretched by themselves. */
  interval(milliseconds: number): () => number;
  /** Back to polling alone. */
  close(): void;
}

/** Makes the queries push-fed from now on; a second call for the same client gives the same object. */
export function attachInboxPush(client: QueryClientLike, options?: InboxPushOptions): InboxPush;
