import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type ErrorMessageId, errorMessages, ServiceError } from "../../src/domain/errors.ts";
import { connectErrorOf, withGrpcSpelling } from "../../src/protocols/rpc/errors.ts";

const messageIds = Object.keys(errorMessages) as ErrorMessageId[];

test.each(messageIds)("%s has a code and valid details", (messageId) => {
  const error = connectErrorOf(new ServiceError(messageId, ["1", "second"]));
  expect(Code[error.code]).toBeDefined();
  const [info] = error.findDetails(ErrorInfoSchema);
  expect(info).toMatchObject({
    reason: expect.stringMatching(/^[A-Z][A-Z_]+[A-Z]$/),
    domain: "com.vmware.vapi.std.errors",
    metadata: { message_id: messageId, arg0: "1", arg1: "second" },
  });
});

test("codes are those in the table of errors", () => {
  const codeOf = (messageId: ErrorMessageId) => connectErrorOf(new ServiceError(messageId)).code;
  expect(codeOf("downlease.session.not_found")).toBe(Code.NotFound);
  expect(codeOf("downlease.session.not_active")).toBe(Code.FailedPrecondition);
  expect(codeOf("downlease.argument.progress")).toBe(Code.InvalidArgument);
  expect(codeOf("downlease.store.unavailable")).toBe(Code.Unavailable);
  expect(codeOf("downlease.call.timed_out")).toBe(Code.DeadlineExceeded);
  expect(codeOf("downlease.call.canceled")).toBe(Code.Canceled);
  expect(codeOf("downlease.server.internal")).toBe(Code.Internal);
});

test("the time to retry and the challenge are sent as metadata", () => {
  const tooMany = connectErrorOf(new ServiceError("downlease.login.too_many_failures", ["7"]));
  expect(tooMany.code).toBe(Code.ResourceExhausted);
  expect(Object.fromEntries(tooMany.metadata)).toEqual({
    "retry-after": "7",
    "grpc-retry-pushback-ms": "7000",
  });
  expect(tooMany.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 7n } }]);
  const unknown = ServiceError.unauthenticated("downlease.authentication.required", "Bearer");
  expect(Object.fromEntries(connectErrorOf(unknown).metadata)).toEqual({ "www-authenticate": "Bearer" });
});

test("the cause of an error does not leave the server", () => {
  const cause = new Error("the driver's own words");
  const error = connectErrorOf(new ServiceError("downlease.server.internal", ["id-1"], cause));
  expect(error.cause).toBeUndefined();
  expect(error.rawMessage).not.toContain("driver");
  expect(JSON.stringify(error.findDetails(ErrorInfoSchema))).not.toContain("driver");
});

test("an argument with half a surrogate pair can still be sent", () => {
  const error = connectErrorOf(new ServiceError("downlease.session.not_found", ["a\ud800b"]));
  const [info] = error.findDetails(ErrorInfoSchema);
  expect(info?.metadata).toMatchObject({ arg0: "a\ufffdb" });
  expect(() => toBinary(ErrorInfoSchema, create(ErrorInfoSchema, info))).not.toThrow();
  expect(() => encodeURIComponent(error.rawMessage)).not.toThrow();
});

test.each(["plain", "a, b; c/d?e:f@g&h=i+j$k#l", "100 % of ünïcode 🎈", "%2C is text"])(
  "grpc-message %j is valid and readable for clients that decode little",
  (message) => {
    const trailer = new Headers({ "grpc-message": encodeURIComponent(message) });
    const spelled = withGrpcSpelling({ status: 200, trailer }).trailer?.get("grpc-message") ?? "";
    expect(spelled).toMatch(/^[\x20-\x7e]*$/);
    expect(decodeURI(spelled)).toBe(message);
    expect(decodeURIComponent(spelled)).toBe(message);
  },
);
