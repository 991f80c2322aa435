import { findItems, type ItemName, selectItem } from "./find-item.ts";
import type { DownloadProgress } from "./progress.ts";
import { RetryLoop } from "./retry-loop.ts";
import type { ServiceClients } from "./services.ts";
import { abortedError, toDownloadError } from "./session-run.ts";

/** The item of a download: its identifier, or what `findItem` finds. */
export type ItemChoice =
  | { readonly itemId: string; readonly item?: undefined; readonly library?: undefined }
  | (ItemName & { readonly itemId?: undefined });

/** @throws TypeError if it is empty, or chooses in two ways */
export function checkItemChoice({ itemId, item, library }: ItemChoice): void {
  if (itemId === undefined && item === undefined) throw new TypeError("set itemId or item");
  if (itemId !== undefined && (item !== undefined || library !== undefined)) {
    throw new TypeError("set either itemId, or item and library");
  }
  for (const [name, value] of Object.entries({ itemId, item, library })) {
    if (value === "") throw new TypeError(`${name} is empty`);
  }
}

interface LookUpOptions {
  readonly patienceMs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** The identifier of the item, after a look-up if it was chosen by name. @throws DownloadError */
export async function itemIdOf(
  server: Pick<ServiceClients, "items" | "libraries">,
  choice: ItemChoice & LookUpOptions,
): Promise<string> {
  if (choice.itemId !== undefined) return choice.itemId;
  const { patienceMs, signal = new AbortController().signal, onProgress } = choice;
  const retryLoop = new RetryLoop(patienceMs, (notice) =>
    onProgress?.({ percent: 0, bytesDone: 0, bytesTotal: 0, files: [], notice }),
  );
  try {
    const matches = await retryLoop.call((call) => findItems({ server, call }, choice), signal);
    return selectItem(matches, choice).id;
  } catch (error) {
    throw signal.aborted ? abortedError(signal) : toDownloadError(error);
  }
}
