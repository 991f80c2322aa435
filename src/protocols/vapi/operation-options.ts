import { type DescField, type DescMethod, getOption, ScalarType } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  operation as operationOption,
  type RestRoute,
  service as serviceOption,
} from "../../../gen/vapi/v1/options_pb.ts";
import { type ErrorKind, errorKinds } from "../../domain/errors.ts";
import type { XmlRoot } from "./codecs/xml.ts";

/** A method's `vapi.v1.operation` option, validated. */
export interface OperationOptions {
  /** For example `com.vmware.content.library.item.download_session`. */
  readonly serviceId: string;
  /** For example `keep_alive`. */
  readonly operationId: string;
  /** The response field that is the result; undefined when the operation returns nothing. */
  readonly result: DescField | undefined;
  readonly routes: Readonly<Record<RouteSet, readonly Route[]>>;
  /** The standard errors that it declares, besides those that any operation may raise. */
  readonly errors: readonly ErrorKind[];
  readonly inputRoot: XmlRoot;
  readonly resultRoot: XmlRoot;
}

/** The 2014 binding and `/rest` share their routes. */
export type RouteSet = "rest" | "api";

export interface Route {
  readonly method: string;
  readonly segments: readonly Segment[];
  /** "" for the route without an action. */
  readonly action: string;
  readonly status: number;
  /** The request field that is the whole body; undefined when the body is an object of the request's fields. */
  readonly body: string | undefined;
  /** Query parameter whose presence selects the route. */
  readonly dispatch: string | undefined;
  readonly headers: readonly HeaderField[];
}

/** A path segment: a literal prefix, then optionally a request field that takes the rest. */
export interface Segment {
  readonly literal: string;
  readonly variable: string | undefined;
}

/** A request field that is sent as a header. */
export interface HeaderField {
  readonly name: string;
  readonly field: string;
  /** Accepted header names, in lower case. */
  readonly spellings: readonly string[];
}

/** An option that contradicts itself or its messages; the service does not start. */
export class BindingError extends Error {
  override readonly name = "BindingError";
}

/**
 * @param method has the `vapi.v1.operation` option
 * @throws BindingError
 */
export function optionsOf(method: DescMethod): OperationOptions {
  const { id: serviceId } = getOption(method.parent, serviceOption);
  const { id: operationId, result, rest, api, errors } = getOption(method, operationOption);
  if (serviceId === "")
    throw new BindingError(`${method.parent} has operations, but no vapi.v1.service option`);
  if (operationId === "") throw new BindingError(`${method} has no operation id`);
  const namespace = `http://vmware.com/${serviceId.replace(/^com\.vmware\./, "").replaceAll(".", "/")}`;
  const xmlName = operationId.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return {
    serviceId,
    operationId,
    result: result === "" ? undefined : fieldOf(method.output, result, `the result of ${method}`),
    routes: {
      rest: rest.map((route) => routeOf(route, method, 200)),
      api: api.map((route) => routeOf(route, method, result === "" ? 204 : 200)),
    },
    errors: errors.map((name) => errorOf(name, method)),
    inputRoot: { name: `${xmlName}-Input`, namespace },
    resultRoot: { name: `${xmlName}-Result`, namespace },
  };
}

/**
 * Exported for its test, because our own options contain no contradictions.
 *
 * @throws BindingError
 */
export function routeOf(route: RestRoute, owner: DescMethod, defaultStatus: number): Route {
  const { case: method, value: path } = route.pattern;
  if (method === undefined) throw new BindingError(`${owner} has a route without a path`);
  const location = `${method.toUpperCase()} ${path} of ${owner}`;
  const status = route.status || defaultStatus;
  const isVoid = getOption(owner, operationOption).result === "";
  if (status < 200 || status > 299) throw new BindingError(`${location}: ${status} is not a success status`);
  if (status === 204 && !isVoid) throw new BindingError(`${location}: 204 cannot carry a result`);
  const segments = segmentsOf(path, location);
  for (const { variable } of segments) if (variable !== undefined) stringField(owner, variable, location);
  if (route.body !== "") checkBody(owner, route.body, method, location);
  if (route.dispatch !== "") stringField(owner, route.dispatch, location);
  return {
    method: method.toUpperCase(),
    segments,
    action: route.action,
    status,
    body: route.body || undefined,
    dispatch: route.dispatch || undefined,
    headers: route.headers.map(({ name, field }) => {
      if (name === "") throw new BindingError(`${location}: a header without a name`);
      stringField(owner, field, location);
      const lowerCase = name.toLowerCase();
      // Older documentation has `client_token` for `Client-Token`.
      return { name, field, spellings: [...new Set([lowerCase, lowerCase.replaceAll("-", "_")])] };
    }),
  };
}

/** The path template as written in the option. */
export function templateOf({ segments }: Route): string {
  return segments
    .map(({ literal, variable }) => `/${literal}${variable === undefined ? "" : `{${variable}}`}`)
    .join("");
}

function segmentsOf(path: string, location: string): Segment[] {
  if (!path.startsWith("/")) throw new BindingError(`${location}: the path does not begin with '/'`);
  return path
    .slice(1)
    .split("/")
    .map((segment) => {
      const [, literal, variable] = /^([^{}]*)(?:\{(\w+)\})?$/.exec(segment) ?? [];
      if (literal === undefined)
        throw new BindingError(`${location}: '${segment}' is not a literal with an optional variable`);
      return { literal, variable };
    });
}

function checkBody(owner: DescMethod, name: string, method: string, location: string): void {
  if (method === "get") throw new BindingError(`${location}: a GET cannot have a body`);
  const field = fieldOf(owner.input, name, location);
  if (field.fieldKind !== "message" || field.message.typeName === TimestampSchema.typeName) {
    throw new BindingError(`${location}: ${field} is not a structure and cannot be the body`);
  }
}

function stringField(owner: DescMethod, name: string, location: string): void {
  const field = fieldOf(owner.input, name, location);
  if (field.fieldKind !== "scalar" || field.scalar !== ScalarType.STRING) {
    throw new BindingError(`${location}: ${field} is not a string`);
  }
}

function fieldOf(message: DescMethod["input"], name: string, location: string): DescField {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new BindingError(`${location}: ${message} has no field '${name}'`);
  return field;
}

function errorOf(name: string, owner: DescMethod): ErrorKind {
  if (!Object.hasOwn(errorKinds, name))
    throw new BindingError(`${owner} declares an unknown error '${name}'`);
  return name as ErrorKind;
}
