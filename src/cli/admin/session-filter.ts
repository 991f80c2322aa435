import { DownloadSessionModel_State as StateNumber } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { CliError } from "../failure.ts";
import { findItem } from "../find-item.ts";
import type { CommonFlags, Task } from "../run.ts";

/** The options that choose sessions. */
export interface FilterFlags extends CommonFlags {
  readonly owner?: string;
  readonly item?: string;
  readonly state?: readonly (keyof typeof StateNumber)[];
  readonly minAge?: number;
}

/** The members of a request that choose sessions; unset ones are left out. */
export interface SessionFilter {
  readonly owner?: string;
  readonly libraryItemId?: string;
  readonly states?: StateNumber[];
  readonly minAgeSeconds?: number;
}

export async function filterOf(task: Task<FilterFlags>): Promise<SessionFilter> {
  const { owner, item, state, minAge } = task.flags;
  return {
    ...(owner !== undefined && { owner }),
    ...(item !== undefined && { libraryItemId: await itemIdOf(task, item) }),
    ...(state !== undefined && { states: state.map((name) => StateNumber[name]) }),
    ...(minAge !== undefined && { minAgeSeconds: minAge }),
  };
}

/** What is no item now is the id of one that was removed, which may have sessions still. */
async function itemIdOf(task: Task<FilterFlags>, reference: string): Promise<string> {
  try {
    return (await findItem(task, reference)).id;
  } catch (error) {
    if (error instanceof CliError && error.exit === "not_found") return reference;
    throw error;
  }
}
