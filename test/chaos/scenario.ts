import type { Lab } from "./lab.ts";
import type { ViolationKind } from "./violation.ts";

/** Servers, faults, and which promises hold meanwhile. */
export interface Scenario {
  readonly name: string;
  /** What is done to what, one sentence. */
  readonly what: string;
  readonly store: "Redis" | "Sentinel" | "Cluster" | "SQLite";
  readonly leaseSeconds: number;
  /** How long the clients work at least. */
  readonly seconds: number;
  /** Whether a replica is without its store for seconds, and can't learn meanwhile that a session has ended. */
  readonly mayBeWithoutStore?: boolean;
  /**
   * Promises that the store itself does not keep here, and why. They are counted apart, and only for what was
   * acknowledged in the times that the lab was given with `mayLose`. All others must be kept.
   */
  readonly documented?: Documented;
  /** Starts the servers; the function that it gives does things to them while clients work. */
  build(lab: Lab): Promise<() => Promise<void>>;
}

export interface Documented {
  readonly kinds: readonly ViolationKind[];
  readonly why: string;
  /** What is kept all the same, for a table. */
  readonly except: string;
}

/** A failover loses what the new master had not received yet; whatever contradicts that is one of these. */
export const lostWrites: Documented = {
  kinds: [
    "lost lease",
    "acknowledged after the end",
    "state went back",
    "progress went back",
    "expiration went back",
    "back from the dead",
    "list misses a session",
    "list has a dead session",
    "not linearizable",
  ],
  why: "Redis replicates asynchronously: a failover may lose the last writes that the old master acknowledged.",
  except: "every promise but those that rest on the last writes of the old master",
};

export const emptyStore: Documented = {
  kinds: ["lost lease", "list misses a session"],
  why: "Without persistence a restart of Redis loses every session.",
  except: "every promise but that the sessions of before are there",
};
