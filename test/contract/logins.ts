import { randomUUID } from "node:crypto";
import type { NewLogin } from "../../src/domain/login-store.ts";
import { callerNamed } from "../support/callers.ts";

/** Of a person of its test's own. */
export function newLogin(members: Partial<NewLogin> = {}): NewLogin {
  return { ...callerNamed(`alice ${randomUUID()}`), proof: "a proof", ...members };
}

/** Texts that are not identifiers, some of them derived from a real one. */
export function hostileIds(id: string): Record<string, string> {
  return {
    empty: "",
    short: id.slice(1),
    long: `${id}0`,
    "in capitals": id.toUpperCase(),
    "with a blank before": ` ${id}`,
    "with a line end": `${id}\n`,
    "with a null": `${id}\0`,
    huge: "0".repeat(2 ** 22),
    "of control characters": "\u0000\u0007\u001b[2J\r\n\u007f".repeat(4),
    binary: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("latin1"),
    "half a surrogate pair": "\ud800".repeat(32),
    "a pattern": "*".repeat(32),
    "a Redis key": `dl:login:{${id}}`,
    "a member of every object": "__proto__",
    SQL: "' OR 1=1 --",
    "never issued": randomUUID().replaceAll("-", ""),
  };
}
