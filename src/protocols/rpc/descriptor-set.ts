import { create, type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, FileOptionsSchema } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.ts";
import { Health as HealthService } from "../../../gen/grpc/health/v1/health_pb.ts";
import { documentHandler } from "../../calls/document.ts";
import { methodsOf, type Operations } from "../../calls/pipeline.ts";
import type { ProtocolHandler } from "../../calls/protocol-handler.ts";

/** Where the interface is served. */
export const descriptorSetPath = "/proto/downlease.binpb";

/**
 * The interface as a file that protoc and most tools for gRPC read: a `google.protobuf.FileDescriptorSet` of the
 * operations, `grpc.health.v1` and the details of errors, with all that they import. GET and HEAD, without credentials.
 *
 * @param pageHeaders names and values in turn; see `pageHeaders`
 */
export function descriptorSetHandler(
  operations: Operations,
  pageHeaders: readonly string[],
): ProtocolHandler {
  const services = methodsOf(operations).map(({ parent }) => parent);
  const files = [...services, HealthService].map(({ file }) => file);
  const bytes = descriptorSetOf([...files, file_google_rpc_error_details]);
  const document = { name: "descriptor set", path: descriptorSetPath, type: "application/x-protobuf", bytes };
  return documentHandler({ ...document, cacheControl: "public, max-age=3600" }, pageHeaders);
}

/** protobuf-es has this file without its options, and code that others generate for what imports it would not compile. */
const descriptorProto = {
  name: "google/protobuf/descriptor.proto",
  options: create(FileOptionsSchema, {
    csharpNamespace: "Google.Protobuf.Reflection",
    goPackage: "google.golang.org/protobuf/types/descriptorpb",
    javaOuterClassname: "DescriptorProtos",
    javaPackage: "com.google.protobuf",
  }),
};

/** Each file after those that it imports. */
function descriptorSetOf(files: readonly DescFile[]): Uint8Array {
  const importsFirst = new Set<DescFile>();
  const add = (file: DescFile) => {
    for (const dependency of file.dependencies) add(dependency);
    importsFirst.add(file);
  };
  for (const file of files) add(file);
  const file = [...importsFirst].map(({ proto }) =>
    proto.name === descriptorProto.name ? { ...proto, ...descriptorProto } : proto,
  );
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
}
