import { expect, test } from "vitest";
import { dropEndlessDeadline } from "../../src/protocols/rpc/deadline.ts";

test.each([
  ["grpc-timeout", "1S"],
  ["grpc-timeout", "596H"],
  ["grpc-timeout", "99999999u"],
  ["grpc-timeout", "2 days"],
  ["grpc-timeout", "999999999999H"],
  ["connect-timeout-ms", "2147483647"],
  ["connect-timeout-ms", "soon"],
])("%s: %s is left to Connect", (name, value) => {
  const headers = new Headers({ [name]: value });
  dropEndlessDeadline(headers);
  expect(headers.get(name)).toBe(value);
});

test.each([
  ["grpc-timeout", "597H"],
  ["grpc-timeout", "99999999H"],
  ["grpc-timeout", "99999999S"],
  ["connect-timeout-ms", "2147483648"],
])("%s: %s is no deadline", (name, value) => {
  const headers = new Headers({ [name]: value });
  dropEndlessDeadline(headers);
  expect(headers.has(name)).toBe(false);
});
