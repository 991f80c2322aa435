import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { type ConnectTransportOptions, createConnectTransport } from "@connectrpc/connect-node";
import { explainForeign } from "./foreign-answer.ts";

const mebibyte = 1024 * 1024;
/** The largest answer in bytes, as it arrives and decompressed. */
const maxBytes = mebibyte;
/** The same for answers with lists. Clients of gRPC have this limit by default. */
const maxListBytes = 4 * mebibyte;

/**
 * A transport of unary calls that keeps a bounded amount of an answer. What a message holds in memory is up to a hundred
 * times its bytes, if it is made for that.
 */
export function boundedTransport(options: ConnectTransportOptions): Transport {
  const withLimit = (readMaxBytes: number) =>
    // Fields that this release does not know take the most memory, and nobody reads them.
    createConnectTransport({ ...options, readMaxBytes, binaryOptions: { readUnknownFields: false } });
  const [plain, lists] = [withLimit(maxBytes), withLimit(maxListBytes)];
  return {
    async unary(method, ...call) {
      const hasList = listsIn(method);
      try {
        return await (hasList ? lists : plain).unary(method, ...call);
      } catch (error) {
        if (isTooLarge(error)) throw tooLargeError(hasList, error);
        throw explainForeign(error, options.baseUrl, method) ?? error;
      }
    },
    stream: (method, ...call) => plain.stream(method, ...call),
  };
}

function listsIn({ output }: DescMethod): boolean {
  return output.fields.some(({ fieldKind }) => fieldKind === "list");
}

/** Whether Connect has refused an answer because of its limit. */
function isTooLarge(error: unknown): error is ConnectError {
  return (
    error instanceof ConnectError &&
    error.code === Code.ResourceExhausted &&
    error.rawMessage.includes("readMaxBytes")
  );
}

function tooLargeError(hasList: boolean, cause: ConnectError): ConnectError {
  const limit = (hasList ? maxListBytes : maxBytes) / mebibyte;
  const text = `the answer of the server is larger than ${limit} MiB, the limit of this client`;
  return new ConnectError(text, Code.OutOfRange, undefined, undefined, cause);
}
