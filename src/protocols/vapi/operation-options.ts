import { type DescField, type DescMethod, getOption, ScalarType } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  operation as operationOption,
  type RestRoute,
  service as serviceOption,
} from "../../../gen/vapi/v1/options_pb.ts";
import { type ErrorKind, errorKinds } from "../../domain/errors.ts";
import type { XmlRoot } from "./codecs/xml.ts";

/** What the options of a method say of it as a vAPI operation, checked. */
export interface OperationOptions {
  /** For example `com.vmware.content.library.item.download_session`. */
  readonly serviceId: string;
  /** For example `keep_alive`. */
  readonly operationId: string;
  /** Field of the response. Undefined: void. */
  readonly result: DescField | undefined;
  readonly routes: Readonly<Record<RouteSet, readonly Route[]>>;
  /** The standard errors that it declares, besides those that any operation may answer with. */
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
  /** Request field that the body as a whole is. Undefined: the body is an object of the request's fields. */
  readonly body: string | undefined;
  /** Query parameter whose presence selects the route. */
  readonly dispatch: string | undefined;
  readonly headers: readonly HeaderField[];
}

/** A segment of a path: a text, and behind it the request field that the rest of the segment is. */
export interface Segment {
  readonly literal: string;
  readonly variable: string | undefined;
}

/** A request field that comes as a header. */
export interface HeaderField {
  readonly name: string;
  readonly field: string;
  /** What a request may call it, in lower case. */
  readonly spellings: readonly string[];
}

/** An option that contradicts itself or its messages; the service refuses to start. */
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
 * Exported for its test: there are no contradictions in the options that we have.
 *
 * @throws BindingError
 */
export function routeOf(route: RestRoute, owner: DescMethod, defaultStatus: number): Route {
  const { case: method, value: path } = route.pattern;
  if (method === undefined) throw new BindingError(`${owner} has a route without a path`);
  const place = `${method.toUpperCase()} ${path} of ${owner}`;
  const status = route.status || defaultStatus;
  const isVoid = getOption(owner, operationOption).result === "";
  if (status < 200 || status > 299) throw new BindingError(`${place}: ${status} is no success`);
  if (status === 204 && !isVoid) throw new BindingError(`${place}: 204 has no room for a result`);
  const segments = segmentsOf(path, place);
  for (const { variable } of segments) if (variable !== undefined) stringField(owner, variable, place);
  if (route.body !== "") checkBody(owner, route.body, method, place);
  if (route.dispatch !== "") stringField(owner, route.dispatch, place);
  return {
    method: method.toUpperCase(),
    segments,
    action: route.action,
    status,
    body: route.body || undefined,
    dispatch: route.dispatch || undefined,
    headers: route.headers.map(({ name, field }) => {
      if (name === "") throw new BindingError(`${place}: a header without a name`);
      stringField(owner, field, place);
      const lowerCase = name.toLowerCase();
      // Older documentation has `client_token` for `Client-Token`.
      return { name, field, spellings: [...new Set([lowerCase, lowerCase.replaceAll("-", "_")])] };
    }),
  };
}

/** A path as its option tells it. */
export function templateOf({ segments }: Route): string {
  return segments
    .map(({ literal, variable }) => `/${literal}${variable === undefined ? "" : `{${variable}}`}`)
    .join("");
}

function segmentsOf(path: string, place: string): Segment[] {
  if (!path.startsWith("/")) throw new BindingError(`${place}: the path does not begin with '/'`);
  return path
    .slice(1)
    .split("/")
    .map((segment) => {
      const [, literal, variable] = /^([^{}]*)(?:\{(\w+)\})?$/.exec(segment) ?? [];
      if (literal === undefined)
        throw new BindingError(`${place}: '${segment}' is not a text and a variable`);
      return { literal, variable };
    });
}

function checkBody(owner: DescMethod, name: string, method: string, place: string): void {
  if (method === "get") throw new BindingError(`${place}: a GET has no body`);
  const field = fieldOf(owner.input, name, place);
  if (field.fieldKind !== "message" || field.message.typeName === TimestampSchema.typeName) {
    throw new BindingError(`${place}: ${field} is no structure, so that it can't be the body`);
  }
}

function stringField(owner: DescMethod, name: string, place: string): void {
  const field = fieldOf(owner.input, name, place);
  if (field.fieldKind !== "scalar" || field.scalar !== ScalarType.STRING) {
    throw new BindingError(`${place}: ${field} is no string`);
  }
}

function fieldOf(message: DescMethod["input"], name: string, place: string): DescField {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new BindingError(`${place}: ${message} has no field '${name}'`);
  return field;
}

function errorOf(name: string, owner: DescMethod): ErrorKind {
  if (!Object.hasOwn(errorKinds, name))
    throw new BindingError(`${owner} declares an unknown error '${name}'`);
  return name as ErrorKind;
}
