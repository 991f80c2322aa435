import type { AuditDetails, AuditRecord } from "../calls/audit.ts";
import { rolesIn } from "../domain/roles.ts";
import { loggedId } from "./logged-id.ts";

/** Where the lines go: each is one call. */
export type WriteLine = (line: string) => void;

/** Entries that stay in memory. */
const maxEntries = 1000;

/** Longer texts of callers are cut, in characters. */
const maxLength = 256;
const maxDetails = 16;

/** Entries of refused strangers that are written within a second; the rest of them is counted. */
const maxStrangers = 100;
const strangersMs = 1000;

/**
 * The entries about calls that change something, and about logins. The latest ones stay in memory; each is a line of JSON
 * where lines are written. Callers who are refused before it is known who they are may come in masses: beyond 100 entries
 * a second one entry stands for the others, with their number.
 */
export class AuditLog {
  readonly #write: WriteLine | undefined;
  /** A ring: the oldest entry is at `#next` once it is full. */
  readonly #entries: AuditRecord[] = [];
  #next = 0;
  #strangers = 0;
  /** The last one that was not written. */
  #leftOut: AuditRecord | undefined;

  constructor(write?: WriteLine) {
    this.#write = write;
  }

  readonly record = (record: AuditRecord): void => {
    if (record.principal === undefined && !this.#admits(record)) return;
    this.#add(record);
  };

  /** Newest first. */
  entries(): AuditRecord[] {
    return [...this.#entries.slice(this.#next), ...this.#entries.slice(0, this.#next)].reverse();
  }

  #admits(record: AuditRecord): boolean {
    if (this.#strangers === 0) setTimeout(this.#nextSecond, strangersMs).unref();
    if (this.#strangers++ < maxStrangers) return true;
    this.#leftOut = record;
    return false;
  }

  readonly #nextSecond = (): void => {
    const count = this.#strangers - maxStrangers;
    const last = this.#leftOut;
    this.#strangers = 0;
    this.#leftOut = undefined;
    if (last !== undefined) this.#add({ ...last, details: { ...last.details, count: String(count) } });
  };

  #add(record: AuditRecord): void {
    const entry = bounded(record);
    this.#entries[this.#next] = { ...entry, details: entry.details && withoutLists(entry.details) };
    this.#next = (this.#next + 1) % maxEntries;
    this.#write?.(lineOf(entry));
  }
}

/** As an entry in memory has them, where a list of ids is one text. */
function withoutLists(details: AuditDetails): AuditDetails {
  return Object.fromEntries(Object.entries(details).map(([name, value]) => [name, cut(String(value))]));
}

/** An entry whose texts are as long as they may be. What callers have sent in place of an id may be anything. */
function bounded(record: AuditRecord): AuditRecord {
  const { sessionId, libraryItemId, details } = record;
  return {
    ...record,
    principal: record.principal && cut(record.principal),
    sessionId: sessionId && loggedId(sessionId),
    libraryItemId: libraryItemId && (record.outcome === "ok" ? cut(libraryItemId) : loggedId(libraryItemId)),
    details:
      details &&
      Object.fromEntries(
        Object.entries(details)
          .slice(0, maxDetails)
          .map(([name, value]) => [name, typeof value === "string" ? cut(value) : value.map(loggedId)]),
      ),
  };
}

function cut(text: string): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`;
}

/** One line of JSON with its end, in which no character controls a terminal. */
export function lineOf(entry: AuditRecord): string {
  const json = JSON.stringify({
    time: new Date(entry.time).toISOString(),
    principal: entry.principal,
    roles: rolesIn(entry.roles),
    proof: entry.proof,
    client_address: entry.clientAddress,
    operation: entry.operation,
    session_id: entry.sessionId,
    library_item_id: entry.libraryItemId,
    outcome: entry.outcome,
    request_id: entry.requestId,
    trace_id: entry.traceId,
    details: entry.details,
  });
  return `${json.replace(/[\p{C}\u2028\u2029]/gu, escaped)}\n`;
}

function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`,
  ).join("");
}
