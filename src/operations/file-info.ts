import { create } from "@bufbuild/protobuf";
import {
  type FileInfo,
  FileInfo_PrepareStatus,
  FileInfoSchema,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import type { ChecksumAlgorithm } from "../domain/content-source.ts";
import { isMessageId, textOf } from "../domain/errors.ts";
import type { Digests, Preparation } from "../domain/preparation.ts";
import { checksumInfoOf } from "./checksum-info.ts";
import type { FileView } from "./session-item.ts";

/** Why a file can't be downloaded. */
export interface FileFailure {
  readonly id: string;
  readonly args: readonly string[];
}

/** A file that has not been requested in the session. */
export function unpreparedInfo(view: FileView): FileInfo {
  return create(FileInfoSchema, common(view, FileInfo_PrepareStatus.UNPREPARED));
}

/** A file that was requested and is neither prepared nor in error. */
export function waitingInfo(view: FileView, preparation: Preparation): FileInfo {
  if (preparation.status !== "PREPARING") {
    return create(FileInfoSchema, common(view, FileInfo_PrepareStatus.PREPARE_REQUESTED));
  }
  return create(FileInfoSchema, {
    ...common(view, FileInfo_PrepareStatus.PREPARING),
    bytesTransferred: BigInt(preparation.bytesDone),
  });
}

/**
 * A file that may be read.
 *
 * @param digests undefined while they are being computed
 * @param uri where to read it from; undefined when it may no longer be read
 */
export function preparedInfo(
  view: FileView,
  digests: Digests | undefined,
  uri: string | undefined,
): FileInfo {
  const sent = Math.min(view.request?.bytesSent ?? 0, view.size ?? 0);
  return create(FileInfoSchema, {
    ...common(view, FileInfo_PrepareStatus.PREPARED),
    bytesTransferred: BigInt(sent),
    ...(digests !== undefined && {
      checksumInfo: checksumInfoOf("SHA256", digests.SHA256),
      checksums: algorithms.flatMap((algorithm) => {
        const digest = digests[algorithm];
        return digest === undefined ? [] : [checksumInfoOf(algorithm, digest)];
      }),
    }),
    ...(uri !== undefined && { downloadEndpoint: { uri } }),
  });
}

/** A file that can't be downloaded. */
export function failedInfo(view: FileView, { id, args }: FileFailure): FileInfo {
  return create(FileInfoSchema, {
    ...common(view, FileInfo_PrepareStatus.ERROR),
    errorMessage: { id, defaultMessage: failureText(id, args, view.name), args: [...args] },
  });
}

/** A failure that another release has stored may have an unknown id. */
function failureText(id: string, args: readonly string[], fileName: string): string {
  return isMessageId(id) ? textOf(id, args) : textOf("downlease.file.failed", [fileName]);
}

const algorithms = ["SHA256", "SHA512", "SHA1", "MD5"] as const satisfies readonly ChecksumAlgorithm[];

function common({ name, size }: FileView, status: FileInfo_PrepareStatus) {
  return { name, status, ...(size !== undefined && { size: BigInt(size) }) };
}
