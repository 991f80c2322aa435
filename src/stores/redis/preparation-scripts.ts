import {
  keptMs,
  type PreparationResult,
  resultKeptMs,
  resultRenewedMs,
  type StoredPreparation,
  type VersionedFile,
} from "../../domain/preparation.ts";
import { decodeResult, encodeResult, storedStatuses } from "../../domain/preparation-store.ts";
import { preparationKey } from "./keys.ts";
import { type Reply, script, unexpected } from "./scripts.ts";

interface OfFile {
  readonly file: VersionedFile;
}

interface OfWorker extends OfFile {
  readonly worker: string;
}

const keyOf = ({ file }: OfFile) => preparationKey(file);

export const findPreparationScript = script<OfFile, StoredPreparation | undefined>("findPreparation-1", {
  key: keyOf,
  args: () => [resultKeptMs, resultRenewedMs],
  output: (reply) => (reply[0] === "UNPREPARED" ? undefined : preparationOf(reply)),
});

export const claimPreparationScript = script<
  OfWorker & { readonly claimMs: number },
  StoredPreparation | undefined
>("claimPreparation-1", {
  key: keyOf,
  args: ({ worker, claimMs }) => [worker, claimMs],
  output: (reply) => (reply[0] === "CLAIMED" ? undefined : preparationOf(reply)),
});

/** Whether the worker still has its claim; so for those that follow. */
export const reportPreparationScript = script<
  OfWorker & { readonly bytesDone: number; readonly claimMs: number },
  boolean
>("reportPreparation-1", {
  key: keyOf,
  args: ({ worker, claimMs, bytesDone }) => [worker, claimMs, bytesDone],
  output: hasClaim,
});

export const finishPreparationScript = script<OfWorker & { readonly result: PreparationResult }, boolean>(
  "finishPreparation-1",
  {
    key: keyOf,
    args: ({ worker, result }) => [
      worker,
      storedStatuses[result.status],
      encodeResult(result),
      keptMs(result),
    ],
    output: hasClaim,
  },
);

export const releasePreparationScript = script<OfWorker, boolean>("releasePreparation-1", {
  key: keyOf,
  args: ({ worker }) => [worker],
  output: hasClaim,
});

function preparationOf([tag, value, verifyFirst]: Reply): StoredPreparation {
  switch (tag) {
    case "PREPARING":
      return {
        status: "PREPARING",
        bytesDone: Number(value),
        ...(verifyFirst === "1" && { verifyFirst: true }),
      };
    case "RESULT":
      return decodeResult(String(value));
    default:
      throw unexpected(tag);
  }
}

function hasClaim([tag]: Reply): boolean {
  if (tag !== "OK" && tag !== "LOST") throw unexpected(tag);
  return tag === "OK";
}
