import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ItemFileInfo, ItemFileInfoSchema } from "../../gen/content/library/item/v1/item_file_pb.ts";
import type { ItemFile } from "../domain/content-source.ts";
import { checksumInfoOf } from "./checksum-info.ts";

/** A message has one checksum of a file: the strongest that the source has. */
const strongestFirst = ["SHA512", "SHA256", "SHA1", "MD5"] as const;

/** What is known of a file outside of download sessions, as a message. */
export function itemFileInfoOf(file: ItemFile): ItemFileInfo {
  return create(ItemFileInfoSchema, itemFileFields(file));
}

/** The fields of `ItemFileInfo`, which other messages about files share. */
export function itemFileFields({ name, size, version, checksums = {} }: ItemFile) {
  const algorithm = strongestFirst.find((candidate) => checksums[candidate] !== undefined);
  return {
    name,
    size: BigInt(size),
    version,
    cached: true,
    ...(algorithm !== undefined && { checksumInfo: checksumInfoOf(algorithm, checksums[algorithm]!) }),
  } satisfies MessageInitShape<typeof ItemFileInfoSchema>;
}
