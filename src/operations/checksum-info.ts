import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ChecksumInfo_ChecksumAlgorithm,
  type ChecksumInfoSchema,
} from "../../gen/content/library/item/v1/item_file_pb.ts";
import type { ChecksumAlgorithm } from "../domain/content-source.ts";

/** A checksum as a message. */
export function checksumInfoOf(
  algorithm: ChecksumAlgorithm,
  checksum: string,
): MessageInitShape<typeof ChecksumInfoSchema> {
  return { algorithm: ChecksumInfo_ChecksumAlgorithm[algorithm], checksum };
}
