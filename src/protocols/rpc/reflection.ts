import { create, type DescMessage, type DescService, type Message } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.ts";
import {
  ServerReflection,
  type ServerReflectionRequest,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { StreamEntry } from "../../calls/pipeline.ts";
import { DescriptorIndex, type ServedFile, withImports } from "./descriptor-index.ts";
import type { TakePlace } from "./open-streams.ts";

/** A request of either version; they differ only in the names of their packages. */
interface ReflectionRequest {
  readonly host: string;
  readonly messageRequest:
    | Exclude<ServerReflectionRequest["messageRequest"], { case: "fileContainingExtension" }>
    | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } };
}

type ReflectionAnswer =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | {
      case: "allExtensionNumbersResponse";
      value: { baseTypeName: string; extensionNumber: number[] };
    }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: Code; errorMessage: string } };

/** The methods of server reflection. */
export const reflectionMethods = [
  ServerReflection.method.serverReflectionInfo,
  ServerReflectionAlpha.method.serverReflectionInfo,
] as const;

/**
 * Answers server reflection, v1 and v1alpha, for some services and for itself.
 *
 * @param takePlace for the stream
 */
export function reflection(
  served: Iterable<DescService>,
  takePlace: TakePlace,
): (method: (typeof reflectionMethods)[number]) => StreamEntry {
  const services = new Set(served).add(ServerReflection).add(ServerReflectionAlpha);
  const files = new Set([...services].map(({ file }) => file));
  // No served file imports the types of error details, but clients ask for them in order to print details.
  const index = new DescriptorIndex(files.add(file_google_rpc_error_details));
  return (method) => async (call) => {
    const end = takePlace(call, method);
    const sent = new Set<string>();
    return {
      answer: async (requests) =>
        (requests as readonly (Message & ReflectionRequest)[]).map((request) =>
          create<DescMessage>(method.output, {
            validHost: request.host,
            originalRequest: request,
            messageResponse: answer(request, services, index, sent),
          }),
        ),
      end,
    };
  };
}

function answer(
  { messageRequest: question }: ReflectionRequest,
  services: Iterable<DescService>,
  index: DescriptorIndex,
  sent: Set<string>,
): ReflectionAnswer {
  switch (question.case) {
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: [...services].map(({ typeName }) => ({ name: typeName })) },
      };
    case "fileByFilename":
      return fileAnswer(index.fileByPath(question.value), sent);
    case "fileContainingSymbol":
      return fileAnswer(index.fileBySymbol(question.value), sent);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = question.value;
      return fileAnswer(index.fileByExtension(containingType, extensionNumber), sent);
    }
    case "allExtensionNumbersOfType": {
      const numbers = index.extensionNumbers(question.value);
      if (numbers === undefined) return errorAnswer(Code.NotFound, "This server has no such message.");
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: question.value, extensionNumber: numbers },
      };
    }
    case undefined:
      return errorAnswer(Code.InvalidArgument, "The request is of a kind that this server does not know.");
  }
}

function fileAnswer(file: ServedFile | undefined, sent: Set<string>): ReflectionAnswer {
  if (file === undefined) return errorAnswer(Code.NotFound, "No file of this server declares it.");
  const fileDescriptorProto = withImports(file, sent).map(({ bytes }) => bytes);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

/** Reflection answers with gRPC status codes, which have the numbers of Connect's codes. */
function errorAnswer(errorCode: Code, errorMessage: string): ReflectionAnswer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
