import type { SessionRecord } from "../../domain/session-record-store.ts";
import { script, unexpected } from "./scripts.ts";
import { keyOfSession, storedSession } from "./session-scripts.ts";

/** A session as an operator sees it, without its id. */
type StoredRecord = Omit<SessionRecord, "id">;

export const readRecordScript = script<{ readonly id: string }, StoredRecord | undefined>("readRecord-1", {
  key: keyOfSession,
  args: () => [],
  output: ([tag, createdAt, bytesSent, clientAddress, ...session]) => {
    if (tag === "NOT_FOUND") return undefined;
    if (tag !== "OK") throw unexpected(tag);
    return {
      ...storedSession([tag, ...session]),
      createdAt: Math.floor(Number(createdAt) / 1000),
      bytesSent: Number(bytesSent),
      ...(clientAddress !== "" && { clientAddress: String(clientAddress) }),
    };
  },
});

export const recordClientScript = script<{ readonly id: string; readonly address: string }, void>(
  "recordClient-1",
  {
    key: keyOfSession,
    args: ({ address }) => [address],
    output: ([tag]) => {
      if (tag !== "OK") throw unexpected(tag);
    },
  },
);
