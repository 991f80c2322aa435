import { DownloadSessionModel_State as StateNumber } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { ServiceError } from "../../domain/errors.ts";
import type { SessionState } from "../../domain/session.ts";
import type { SessionRecord } from "../../domain/session-record-store.ts";
import { identifier } from "../arguments.ts";

/** The members of a request that choose sessions. */
export interface SessionFilterFields {
  readonly owner?: string | undefined;
  readonly libraryItemId?: string | undefined;
  readonly states: readonly StateNumber[];
  readonly minAgeSeconds?: number | undefined;
}

/** Which sessions are meant; a member that is unset admits every session. */
export interface SessionFilter {
  readonly owner: string | undefined;
  readonly libraryItemId: string | undefined;
  readonly states: readonly SessionState[] | undefined;
  readonly minAgeMs: number | undefined;
}

/** About thirty years: the rule is there for infinity and what is not a number. */
const maxAgeSeconds = 1e9;

/** Checks the members of a request. @throws ServiceError `invalid_argument` */
export function sessionFilter(fields: SessionFilterFields): SessionFilter {
  const { owner, libraryItemId, states, minAgeSeconds: age } = fields;
  if (age !== undefined && !(age >= 0 && age <= maxAgeSeconds)) {
    const rule = `a number of seconds from 0 to ${maxAgeSeconds}`;
    throw new ServiceError("downlease.argument.type", ["min_age_seconds", rule]);
  }
  return {
    owner: optionalIdentifier(owner, "owner"),
    libraryItemId: optionalIdentifier(libraryItemId, "library_item_id"),
    states: states.length === 0 ? undefined : [...new Set(states.map(stateOf))].sort(),
    minAgeMs: age === undefined ? undefined : age * 1000,
  };
}

/** Whether it admits every session. */
export function admitsAll(filter: SessionFilter): boolean {
  return Object.values(filter).every((member) => member === undefined);
}

/** The test that a filter stands for; undefined for one that admits every session of its owner. Ages are those of now. */
export function matcherOf({
  owner,
  libraryItemId,
  states,
  minAgeMs,
}: SessionFilter): ((session: SessionRecord) => boolean) | undefined {
  if (libraryItemId === undefined && states === undefined && minAgeMs === undefined) return undefined;
  const latest = minAgeMs === undefined ? undefined : Date.now() - minAgeMs;
  return (session) =>
    (owner === undefined || session.owner === owner) &&
    (libraryItemId === undefined || session.libraryItemId === libraryItemId) &&
    (states === undefined || states.includes(session.state)) &&
    // The age of a session whose time of creation is unknown is unknown.
    (latest === undefined || (session.createdAt !== undefined && session.createdAt <= latest));
}

const stateNames = new Map<StateNumber, SessionState>([
  [StateNumber.ACTIVE, "ACTIVE"],
  [StateNumber.CANCELED, "CANCELED"],
  [StateNumber.ERROR, "ERROR"],
]);

function stateOf(number: StateNumber): SessionState {
  const state = stateNames.get(number);
  if (state === undefined) {
    const rule = `some of ${[...stateNames.values()].join(", ")}`;
    throw new ServiceError("downlease.argument.type", ["states", rule]);
  }
  return state;
}

/** Empty texts are refused: in a filter they look as if they were left out, and admit nothing. */
function optionalIdentifier(value: string | undefined, field: string): string | undefined {
  if (value === "") throw new ServiceError("downlease.argument.empty", [field]);
  return value === undefined ? undefined : identifier(value, field);
}
