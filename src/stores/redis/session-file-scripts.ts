import type { Refusal, Renewal, Session } from "../../domain/session.ts";
import type { EndpointType, SessionFile } from "../../domain/session-file-store.ts";
import { type Reply, script, unexpected } from "./scripts.ts";
import {
  keyOfSession,
  principalOf,
  renewal,
  type SessionInput,
  type StoredSession,
} from "./session-scripts.ts";

export const requestFileScript = script<
  SessionInput & {
    readonly leaseMs: number;
    readonly fileName: string;
    readonly endpointType: EndpointType;
  },
  Renewal | Refusal
>("requestFile-1", {
  key: keyOfSession,
  args: (input) => [principalOf(input), input.leaseMs, input.fileName, input.endpointType],
  output: renewal,
});

export const recordSentScript = script<
  { readonly id: string; readonly leaseMs: number; readonly sent: ReadonlyMap<string, number> },
  Renewal | Refusal
>("recordSent-1", {
  key: keyOfSession,
  args: ({ leaseMs, sent }) => [leaseMs, Number.MAX_SAFE_INTEGER, ...[...sent].flat()],
  output: renewal,
});

export const readFilesScript = script<
  SessionInput,
  { readonly session: StoredSession; readonly files: ReadonlyMap<string, SessionFile> } | undefined
>("readFiles-1", {
  key: keyOfSession,
  args: (input) => [principalOf(input)],
  output: (reply) => {
    if (reply[0] === "NOT_FOUND") return undefined;
    if (reply[0] !== "OK") throw unexpected(reply[0]);
    return sessionAndFiles(reply);
  },
});

function sessionAndFiles([, expiresAt, now, ...parts]: Reply) {
  const fields = new Map<string, string>();
  const files = new Map<string, SessionFile>();
  for (let index = 0; index < parts.length; index += 2) {
    const [field, value] = [String(parts[index]), String(parts[index + 1])];
    const file = () => files.get(field.slice(2)) ?? { bytesSent: 0 };
    if (field.startsWith("r:")) {
      // A release that did not keep the time of the request may have recorded it.
      const requestedForMs = file().requestedForMs ?? 0;
      files.set(field.slice(2), { ...file(), requested: value as EndpointType, requestedForMs });
    } else if (field.startsWith("q:"))
      files.set(field.slice(2), { ...file(), requestedForMs: Number(now) - Number(value) });
    else if (field.startsWith("b:")) files.set(field.slice(2), { ...file(), bytesSent: Number(value) });
    else fields.set(field, value);
  }
  const message = fields.get("e");
  const session: StoredSession = {
    owner: fields.get("o")!,
    libraryItemId: fields.get("i")!,
    contentVersion: fields.get("v")!,
    state: fields.get("s") as Session["state"],
    progress: Number(fields.get("p")),
    expiresAt: Number(expiresAt),
    ...(fields.get("u") === "1" && { endsWithUser: true }),
    ...(message !== undefined && { errorMessage: message }),
  };
  return { session, files };
}
