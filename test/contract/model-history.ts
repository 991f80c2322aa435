import fc from "fast-check";
import { ServiceError } from "../../src/domain/errors.ts";
import type { FinalState, Refusal, Renewal, Session } from "../../src/domain/session.ts";
import type { EndpointType, SessionFileStore, SessionFiles } from "../../src/domain/session-file-store.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import { callerNamed } from "../support/callers.ts";

export interface Replica {
  readonly sessions: SessionStore;
  readonly sessionFiles: Pick<SessionFileStore, "files" | "request" | "recordSent">;
}

/** Two replicas on the same data, with different terms. */
export type Replicas = readonly [Replica, Replica];

export const people = ["alice", "bob", "root"] as const;
type Person = (typeof people)[number];
export const items = ["item-1", "item-2"] as const;
/** Who creates the session of a number: ids belong to an owner. Few, so that histories keep meeting the same sessions. */
const creators: readonly Person[] = ["alice", "alice", "alice", "bob"];
export const sessionNumbers = creators.keys().toArray();

/** A heartbeat for the session of that number. */
type NumberedHeartbeat = { readonly session: number; readonly progress: number | undefined };

/** One thing that happens: `on` is the replica that is called, `by` the caller. */
export type Step = { readonly on: 0 | 1; readonly by: Person; readonly session: number } & (
  | { readonly act: "create"; readonly item: string }
  | { readonly act: "keepAlive"; readonly progress: number | undefined }
  | { readonly act: "heartbeats"; readonly progress: readonly (number | undefined)[] }
  | { readonly act: "keepAliveMany"; readonly heartbeats: readonly NumberedHeartbeat[] }
  | { readonly act: "finish"; readonly state: FinalState; readonly message: string | undefined }
  | { readonly act: "delete" | "get" | "files" }
  | { readonly act: "request"; readonly file: string; readonly type: EndpointType }
  | { readonly act: "recordSent"; readonly sent: ReadonlyMap<string, number> }
  | { readonly act: "list"; readonly item: string | undefined }
  | { readonly act: "pass"; readonly minutes: number }
);

const progress = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 100 }) },
  { weight: 3, arbitrary: fc.constant(undefined) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(-1, 101, 0.5, 99.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 63)),
  },
);
/** Few, so that histories keep meeting the same files. */
const file = fc.constantFrom("disk.vmdk", "disk.ovf", "__proto__", "s", "");
const bytes = fc.oneof(fc.integer({ min: 0, max: 2 ** 31 }), fc.constantFrom(0, 1, 2 ** 52, 2 ** 53 - 1));
const message = fc.option(fc.string({ unit: "grapheme", maxLength: 40 }), { nil: undefined });

const actor = {
  on: fc.constantFrom(0 as const, 1 as const),
  by: fc.oneof(
    { weight: 5, arbitrary: fc.constant<Person>("alice") },
    { weight: 2, arbitrary: fc.constantFrom<Person[]>("bob", "root") },
  ),
  session: fc.constantFrom(...sessionNumbers),
};
const act = <A extends string>(name: A) => ({ ...actor, act: fc.constant(name) });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ ...act("create"), item: fc.constantFrom(...items) }) },
  { weight: 8, arbitrary: fc.record({ ...act("keepAlive"), progress }) },
  {
    weight: 2,
    arbitrary: fc.record({
      ...act("heartbeats"),
      progress: fc.array(progress, { minLength: 2, maxLength: 6 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      ...act("keepAliveMany"),
      heartbeats: fc.array(fc.record({ session: actor.session, progress }), { maxLength: 8 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...act("finish"),
      state: fc.constantFrom<FinalState[]>("CANCELED", "ERROR"),
      message,
    }),
  },
  { weight: 1, arbitrary: fc.record(act("delete")) },
  { weight: 3, arbitrary: fc.record(act("get")) },
  { weight: 3, arbitrary: fc.record(act("files")) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...act("request"),
      file,
      type: fc.constantFrom<EndpointType[]>("HTTPS", "DIRECT"),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      ...act("recordSent"),
      sent: fc.array(fc.tuple(file, bytes), { maxLength: 4 }).map((sent) => new Map(sent)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...act("list"),
      item: fc.option(fc.constantFrom(...items, "item-3"), { nil: undefined }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ ...act("pass"), minutes: fc.constantFrom(1, 5, 9, 10, 20, 30, 59, 60) }),
  },
);

export const history = fc.array(step, { minLength: 1, maxLength: 60, size: "max" });

/** What a caller gets. */
export type Answer =
  | Session
  | Renewal
  | Refusal
  | { readonly outcome: "finished"; readonly expiresAt: number }
  | { readonly outcome: "too_many" }
  | Burst
  | SessionFiles
  | readonly (Renewal | Refusal)[]
  | readonly string[]
  | boolean
  | undefined;

interface Burst {
  readonly outcomes: readonly string[];
  readonly progress?: number;
  readonly expiresAt?: number;
}

/** @param namespace keeps the history's ids and people apart from those of other histories */
export async function perform(step: Step, replicas: Replicas, namespace: string): Promise<Answer> {
  const { sessions: store, sessionFiles: files } = replicas[step.on];
  const id = `${namespace}-${step.session}`;
  const principal = `${namespace}-${step.by}`;
  const caller = step.by === "root" ? callerNamed(principal, "admin") : callerNamed(principal);
  switch (step.act) {
    case "create": {
      const owner = `${namespace}-${creators[step.session]}`;
      const creation = store.create({ id, owner, libraryItemId: step.item, contentVersion: "v1" });
      return await creation.catch(refusalOf);
    }
    case "keepAlive":
      return await store.keepAlive(id, caller, step.progress);
    case "heartbeats": {
      const beats = step.progress.map((reported, beat) =>
        replicas[beat % 2 ? 1 : 0].sessions.keepAlive(id, caller, reported),
      );
      return burst(await Promise.all(beats));
    }
    case "keepAliveMany": {
      const heartbeats = step.heartbeats.map(({ session, progress }) => ({
        id: `${namespace}-${session}`,
        progress,
      }));
      return await store.keepAliveMany(heartbeats, caller);
    }
    case "finish":
      return await store.finish(id, caller, step.state, step.state === "ERROR" ? step.message : undefined);
    case "delete":
      return await store.delete(id, caller);
    case "get":
      return await store.get(id, caller);
    case "files":
      return withoutAges(await files.files(id, caller));
    case "request":
      return await files.request(id, caller, step.file, step.type);
    case "recordSent":
      return await files.recordSent(id, step.sent);
    case "list":
      return await store.list(principal, step.item);
    case "pass":
      return undefined;
  }
}

function refusalOf(error: unknown): { readonly outcome: "too_many" } {
  if (error instanceof ServiceError && error.messageId === "downlease.session.too_many") {
    return { outcome: "too_many" };
  }
  throw error;
}

/** Concurrent heartbeats arrive in any order, so only their sum can be compared. */
function burst(results: readonly (Renewal | Refusal)[]): Burst {
  const outcomes = results.map(({ outcome }) => outcome);
  const renewals = results.filter((result) => result.outcome === "renewed");
  if (renewals.length === 0) return { outcomes };
  return {
    outcomes,
    progress: Math.max(...renewals.map(({ progress }) => progress)),
    expiresAt: Math.max(...renewals.map(({ expiresAt }) => expiresAt)),
  };
}

/** Everything that can be read after a history. */
export async function everything(replicas: Replicas, namespace: string): Promise<Answer[]> {
  const gets = sessionNumbers.map((session): Step => ({ act: "get", on: 0, by: "root", session }));
  const files = sessionNumbers.map((session): Step => ({ act: "files", on: 1, by: "root", session }));
  const lists = people.map((by): Step => ({ act: "list", on: 1, by, session: 0, item: undefined }));
  const answers: Answer[] = [];
  for (const step of [...gets, ...files, ...lists]) answers.push(await perform(step, replicas, namespace));
  return answers;
}

/** The model has no ages. */
function withoutAges(found: SessionFiles | undefined): SessionFiles | undefined {
  const entries = [...(found?.files ?? [])].map(
    ([name, { requestedForMs: _, ...file }]) => [name, file] as const,
  );
  return found && { ...found, files: new Map(entries) };
}
