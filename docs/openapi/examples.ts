import { readFileSync } from "node:fs";

/** An operation's request in vAPI's names, and what it was answered. */
export interface Example {
  readonly input?: Readonly<Record<string, unknown>>;
  /** Left out when there is no result. */
  readonly output?: unknown;
}

/** By the names of operations; of the example library. */
export const examples: Readonly<Record<string, Example>> = JSON.parse(
  readFileSync(new URL("examples.json", import.meta.url), "utf8"),
);
