import { failureKeptMs, resultKeptMs, resultRenewedMs } from "../../domain/preparation.ts";
import type { PreparationRecord, PreparationResult, VersionedFile } from "../../domain/preparation-store.ts";
import { preparationKey } from "./keys.ts";
import { type Reply, script, unexpected } from "./scripts.ts";

interface OfFile {
  readonly file: VersionedFile;
}

interface OfWorker extends OfFile {
  readonly worker: string;
}

const keyOf = ({ file }: OfFile) => preparationKey(file);

export const findPreparationScript = script<OfFile, PreparationRecord | undefined>("findPreparation-1", {
  key: keyOf,
  args: () => [resultKeptMs, resultRenewedMs],
  output: (reply) => (reply[0] === "UNKNOWN" ? undefined : record(reply)),
});

export const claimPreparationScript = script<
  OfWorker & { readonly claimMs: number },
  PreparationRecord | undefined
>("claimPreparation-1", {
  key: keyOf,
  args: ({ worker, claimMs }) => [worker, claimMs],
  output: (reply) => (reply[0] === "CLAIMED" ? undefined : record(reply)),
});

/** Gives whether the worker has its claim still; so do those that follow. */
export const reportPreparationScript = script<
  OfWorker & { readonly bytesDone: number; readonly claimMs: number },
  boolean
>("reportPreparation-1", {
  key: keyOf,
  args: ({ worker, claimMs, bytesDone }) => [worker, claimMs, bytesDone],
  output: isKept,
});

export const finishPreparationScript = script<OfWorker & { readonly result: PreparationResult }, boolean>(
  "finishPreparation-1",
  {
    key: keyOf,
    args: ({ worker, result }) => [
      worker,
      result.state,
      JSON.stringify(result),
      result.state === "done" ? resultKeptMs : failureKeptMs,
    ],
    output: isKept,
  },
);

export const releasePreparationScript = script<OfWorker, boolean>("releasePreparation-1", {
  key: keyOf,
  args: ({ worker }) => [worker],
  output: isKept,
});

function record([tag, value]: Reply): PreparationRecord {
  switch (tag) {
    case "RUNNING":
      return { state: "running", bytesDone: Number(value) };
    case "RESULT":
      return JSON.parse(String(value)) as PreparationResult;
    default:
      throw unexpected(tag);
  }
}

function isKept([tag]: Reply): boolean {
  if (tag !== "OK" && tag !== "LOST") throw unexpected(tag);
  return tag === "OK";
}
