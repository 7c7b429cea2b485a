// A cursor is `epoch.seq`. To the rest of the page it is opaque; only what follows a stream takes it apart.

export function splitCursor(cursor) {
  const dot = cursor.lastIndexOf(".");
  return { epoch: cursor.slice(0, dot), seq: Number(cursor.slice(dot + 1)) };
}

export const joinCursor = (epoch, seq) => `${epoch}.${seq}`;
