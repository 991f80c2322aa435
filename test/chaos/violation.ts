import { describeOperation, type Operation } from "./history.ts";

/** The promises, by the name of what breaks them. */
export const violationKinds = {
  "lost lease": "A session was not found before the expiration that a client had been sent.",
  "acknowledged after the end":
    "A call that only an ACTIVE session allows succeeded after the session had ended.",
  "state went back": "A session showed a state that it had left.",
  "progress went back": "A session showed less progress than before.",
  "expiration went back": "A client was sent an earlier expiration than before.",
  "back from the dead": "A session was seen after it had been deleted or not found.",
  "shown after expiration": "A session was shown with an expiration in the past.",
  "wrong item": "A session showed another item than it was created for.",
  "two sessions for one token": "Two creations with the same client token gave different sessions.",
  "not linearizable": "The answers about a session fit no order of the calls.",
  "list misses a session": "A list did not have a session that must be there.",
  "list has a dead session": "A list had a session that had been deleted or not found.",
  "list has a session of nobody": "A list had a session that nobody can have created.",
  "seen by a stranger": "A principal was shown a session of another one, or could change it.",
  "wrong bytes": "A download looked complete and was not what the item has.",
  "download after the end": "A download went on for seconds after its session had ended.",
  "unexpected answer": "An answer that no client should see, such as an internal error.",
  "answered too late": "A call had no answer, not even UNAVAILABLE, for several seconds.",
  "ready while writes fail": "A replica said that it was ready for more than 5 s while its writes failed.",
  "served too late": "A replica did not serve again within the time that the scenario allows.",
} as const;

export type ViolationKind = keyof typeof violationKinds;

export interface Violation {
  readonly kind: ViolationKind;
  /** Id of the session; undefined when it is about something else. */
  readonly session?: string | undefined;
  /** What is wrong, with names and times. */
  readonly text: string;
  /** First what was acknowledged, then what contradicts it. */
  readonly operations: readonly Operation[];
}

/** A few lines that a person can follow. @param origin time that counts as 0 */
export function describeViolation({ kind, session, text, operations }: Violation, origin: number): string {
  const title = `${kind}${session === undefined ? "" : `: session ${session}`}`;
  return [title, `  ${text}`, ...operations.map((each) => `  ${describeOperation(each, origin)}`)].join("\n");
}
