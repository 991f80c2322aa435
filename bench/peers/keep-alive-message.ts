import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { KeepAliveResponseSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";

/** A gRPC response message, encoded once. */
export const framedAnswer = frame(
  toBinary(
    KeepAliveResponseSchema,
    create(KeepAliveResponseSchema, {
      expirationTime: { seconds: 1_700_000_000n, nanos: 123_000_000 },
      clientProgress: 10n,
    }),
  ),
);

/** Reads a request's two fields by hand. */
export function readRequest(message: Uint8Array): { id: string; progress: number | undefined } {
  const reader = new BinaryReader(message);
  let id = "";
  let progress: number | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) id = reader.string();
    else if (field === 2) progress = Number(reader.int64());
    else reader.skip(type);
  }
  return { id, progress };
}

function frame(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, 5);
  return bytes;
}
