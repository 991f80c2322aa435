import { timestampMs } from "@bufbuild/protobuf/wkt";
import { DownloadSessionModel_State as State } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import type { WatchedSession } from "./session-feed.ts";

export const sortKeys = [
  "owner",
  "item",
  "state",
  "progress",
  "bytes",
  "rate",
  "expires",
  "created",
] as const;
export type SortKey = (typeof sortKeys)[number];

/** What is shown, and in which order; all of it is in the address of the page. */
export interface ListView {
  /** Shown are sessions whose owner, item, id or address has this text. */
  readonly search: string;
  readonly state: State | undefined;
  readonly sort: SortKey;
  readonly isDescending: boolean;
}

export const stateNames: Readonly<Record<State, string>> = {
  [State.UNSPECIFIED]: "",
  [State.ACTIVE]: "ACTIVE",
  [State.CANCELED]: "CANCELED",
  [State.ERROR]: "ERROR",
};

export function readListView(params: URLSearchParams): ListView {
  const stateName = params.get("state");
  const sort = params.get("sort")?.replace(/^-/, "");
  return {
    search: params.get("search") ?? "",
    state: [State.ACTIVE, State.CANCELED, State.ERROR].find((state) => stateNames[state] === stateName),
    sort: sortKeys.find((key) => key === sort) ?? "created",
    isDescending: params.get("sort") === null || params.get("sort")!.startsWith("-"),
  };
}

/** What differs from a plain list. */
export function writeListView({ search, state, sort, isDescending }: ListView): Record<string, string> {
  const order = `${isDescending ? "-" : ""}${sort}`;
  return {
    ...(search !== "" && { search }),
    ...(state !== undefined && { state: stateNames[state] }),
    ...(order !== "-created" && { sort: order }),
  };
}

const keys: Readonly<Record<SortKey, (session: WatchedSession) => number | string>> = {
  owner: ({ info }) => info.owner,
  item: ({ info }) => info.libraryItemName ?? info.libraryItemId,
  state: ({ info }) => info.state,
  progress: ({ info }) => Number(info.progress),
  bytes: ({ info }) => Number(info.bytesSent),
  rate: ({ rate }) => rate,
  expires: ({ info }) => (info.expirationTime === undefined ? 0 : timestampMs(info.expirationTime)),
  created: ({ info }) => (info.createdTime === undefined ? 0 : timestampMs(info.createdTime)),
};

/** The sessions that match, in order; those with equal keys in the order of their ids, so that rows do not jump. */
export function arrange(
  sessions: ReadonlyMap<string, WatchedSession>,
  { search, state, sort, isDescending }: ListView,
): readonly WatchedSession[] {
  const text = search.toLowerCase();
  const matches = ({ info }: WatchedSession) =>
    (state === undefined || info.state === state) &&
    (text === "" ||
      [info.owner, info.libraryItemName, info.libraryItemId, info.id, info.clientAddress].some((each) =>
        each?.toLowerCase().includes(text),
      ));
  const key = keys[sort];
  const direction = isDescending ? -1 : 1;
  return [...sessions.values()]
    .filter(matches)
    .map((session) => ({ session, key: key(session) }))
    .sort((a, b) => {
      if (a.key !== b.key) return a.key < b.key ? -direction : direction;
      return a.session.info.id < b.session.info.id ? -1 : 1;
    })
    .map(({ session }) => session);
}

/** Seconds until all bytes are sent at the present rate; undefined when nothing moves. */
export function secondsLeft({ info, rate }: WatchedSession): number | undefined {
  const { bytesTotal, bytesSent } = info;
  if (bytesTotal === undefined || rate < 1 || bytesSent >= bytesTotal) return undefined;
  return Math.ceil(Number(bytesTotal - bytesSent) / rate);
}
