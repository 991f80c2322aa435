import { hash } from "node:crypto";
import { create, type DescMessage, type DescMethodUnary, type MessageShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { stringifySetCookie } from "cookie";
import { type GetResponse, SessionService } from "../../../../gen/cis/v1/session_pb.ts";
import { type CallObserver, HttpCall } from "../../../calls/call.ts";
import type { Connection } from "../../../calls/connection.ts";
import { type Credentials, cookieIn } from "../../../calls/credentials.ts";
import {
  connectionOf,
  discardBody,
  type HttpRequest,
  type HttpResponse,
  isEncrypted,
} from "../../../calls/http.ts";
import { asServiceError, type CallPipeline } from "../../../calls/pipeline.ts";
import { callHeaders, type ProtocolHandler } from "../../../calls/protocol-handler.ts";
import { headersOf } from "../../../calls/status.ts";
import { ServiceError } from "../../../domain/errors.ts";
import { readBody } from "../body.ts";
import { formatDateTime } from "../date-time.ts";
import { noCredentials, passwordCredentials } from "../json-rpc/security-context.ts";
import {
  element,
  elements,
  readEnvelope,
  type SoapRequest,
  type TextPath,
  writeFault,
  writeResponse,
} from "./envelope.ts";

export interface SoapOptions {
  readonly pipeline: CallPipeline;
  /** Largest request body, in bytes. */
  readonly maxBodyBytes: number;
  /** Alternating names and values, for every response; see `pageHeaders`. */
  readonly pageHeaders?: readonly string[] | undefined;
  /** Called for requests that never reach an operation; the pipeline calls it for the others. */
  readonly observe: CallObserver;
}

const endpoint = "/sdk";
const versionsPath = "/sdk/vimServiceVersions.xml";
const cookieName = "vmware_soap_session";
/** What clients have to speak; nothing that is served differs between versions. */
const apiVersion = "7.0.0.0";

const versions = `<?xml version="1.0" encoding="UTF-8"?>\n<namespaces version="1.0"><namespace><name>urn:vim25</name><version>${apiVersion}</version></namespace></namespaces>`;

const reference = (name: string, type: string) => element(name, type, ` type="${type}"`);
const serviceContent = element(
  "returnval",
  reference("rootFolder", "Folder") +
    reference("propertyCollector", "PropertyCollector") +
    element(
      "about",
      elements({
        name: "downlease",
        fullName: "downlease",
        vendor: "downlease",
        version: apiVersion,
        build: "0",
        osType: "any",
        productLineId: "vpx",
        apiType: "VirtualCenter",
        apiVersion,
      }),
    ) +
    reference("sessionManager", "SessionManager") +
    // govc reads it without checking that it is there.
    reference("searchIndex", "SearchIndex"),
);

/** An answer: XML, and the cookie to set. */
interface Answer {
  readonly content: string;
  readonly cookie?: string;
}

type Method = (call: SoapCall) => Answer | Promise<Answer>;

/**
 * The part of vSphere's SOAP that its clients need before they turn to the other protocols: what is there, and logging
 * in and out. The login sessions are those of every protocol.
 */
export function soapHandler(options: SoapOptions): ProtocolHandler {
  const methods = methodsOf(options.pipeline);
  return {
    name: "soap",
    headers: { request: [...callHeaders.request, "SOAPAction"], response: callHeaders.response },
    takes(request, path) {
      return request.method === "POST"
        ? path === endpoint
        : request.method === "GET" && path === versionsPath;
    },
    serve: (request, response) => void serve(request, response, methods, options),
  };
}

async function serve(
  request: HttpRequest,
  response: HttpResponse,
  methods: ReadonlyMap<string, Method>,
  { maxBodyBytes, pageHeaders = [], observe }: SoapOptions,
): Promise<void> {
  const call = new SoapCall(request);
  const startedAt = performance.now();
  const send = (status: number, body: string, headers: readonly string[] = []) => {
    if (response.destroyed) return;
    response.writeHead(status, [
      ...["cache-control", "no-store", "content-type", "text/xml; charset=utf-8"],
      ...["content-length", String(Buffer.byteLength(body)), ...pageHeaders, ...headers],
    ]);
    response.end(body);
  };
  if (request.method !== "POST") {
    discardBody(request);
    return send(200, versions);
  }
  try {
    call.request = readEnvelope(await readBody(request, maxBodyBytes));
    const { method } = call.request;
    const run = methods.get(method);
    if (run === undefined) throw new ServiceError("downlease.soap.method", [method.slice(0, 200)]);
    const { content, cookie } = await run(call);
    send(200, writeResponse(method, content), cookie === undefined ? [] : ["set-cookie", cookie]);
  } catch (reason) {
    const error = asServiceError(reason, call);
    if (!call.isInPipeline) {
      const target = `POST ${endpoint} ${call.request?.method ?? ""}`;
      const durationMs = performance.now() - startedAt;
      observe({ call, operation: "unknown", target, outcome: error.kind, durationMs, error });
    }
    const headers = ["x-request-id", call.requestId, ...Object.entries(headersOf(error)).flat()];
    send(500, writeFault(error.message, faultOf(error, call)), headers);
    discardBody(request);
  }
}

/** The fault of vSphere's schema by which clients recognize an error. */
function faultOf({ kind }: ServiceError, { request }: SoapCall): string | undefined {
  if (kind === "unknown_operation") return "MethodNotFound";
  if (kind === "not_found") return "ManagedObjectNotFound";
  if (kind !== "unauthenticated") return undefined;
  return request?.method === "Login" ? "InvalidLogin" : "NotAuthenticated";
}

function methodsOf(pipeline: CallPipeline): ReadonlyMap<string, Method> {
  const { method: rpc } = SessionService;
  /** The entry of an operation about login sessions. */
  const entryOf = <I extends DescMessage, O extends DescMessage>(method: DescMethodUnary<I, O>) => {
    const row = pipeline.operations.unary.find((candidate) => candidate.method === method)!;
    const enter = pipeline.entry(row);
    return (call: SoapCall) => {
      call.isInPipeline = true;
      return enter(create(method.input), call) as Promise<MessageShape<O>>;
    };
  };
  const [open, read, close] = [entryOf(rpc.create), entryOf(rpc.get), entryOf(rpc.delete)];

  const logIn: Method = async (call) => {
    call.use(passwordCredentials(call.text("userName"), call.text("password")));
    const { sessionId } = await open(call);
    call.use({ ...noCredentials, loginId: sessionId });
    return {
      content: element("returnval", userSession(await read(call), sessionId)),
      cookie: cookieOf(call, sessionId),
    };
  };
  const logOut: Method = async (call) => {
    await close(call);
    return { content: "", cookie: cookieOf(call, undefined) };
  };
  /** Of the properties of all objects, there is the current session of the session manager. */
  const retrieve = (wrapper: string): Method => {
    return async (call) => {
      const object = call.text("specSet/objectSet/obj");
      if (object !== "SessionManager")
        throw new ServiceError("downlease.soap.object", [object.slice(0, 200)]);
      const session = userSession(await read(call), call.credentials.loginCookie ?? "");
      const value = element("val", session, ' xsi:type="UserSession"');
      const properties = element("propSet", element("name", "currentSession") + value);
      const content = element(wrapper, reference("obj", object) + properties);
      return { content: wrapper === "returnval" ? content : element("returnval", content) };
    };
  };
  const now: Method = async (call) => {
    await read(call);
    return { content: element("returnval", formatDateTime(Date.now())) };
  };
  return new Map<string, Method>([
    ["RetrieveServiceContent", () => ({ content: serviceContent })],
    ["Login", logIn],
    ["Logout", logOut],
    ["RetrieveProperties", retrieve("returnval")],
    ["RetrievePropertiesEx", retrieve("objects")],
    ["CurrentTime", now],
  ]);
}

/** The content of vSphere's `UserSession`. Its key names the session and must not be its identifier, a secret. */
function userSession({ info }: GetResponse, loginId: string): string {
  const user = info?.user ?? "";
  const [created, used] = [info?.createdTime, info?.lastAccessedTime].map(
    (time) => time && formatDateTime(timestampMs(time)),
  );
  return elements({
    key: hash("sha256", loginId).slice(0, 32),
    userName: user,
    fullName: user,
    loginTime: created ?? "",
    lastActiveTime: used ?? "",
    locale: "en",
    messageLocale: "en",
  });
}

/** @param loginId undefined: the cookie is removed */
function cookieOf({ isSecure }: SoapCall, loginId: string | undefined): string {
  return stringifySetCookie({
    name: cookieName,
    value: loginId ?? "",
    path: endpoint,
    httpOnly: true,
    sameSite: "strict",
    secure: isSecure,
    ...(loginId === undefined && { maxAge: 0 }),
  });
}

/** A SOAP request as the pipeline sees it. */
class SoapCall extends HttpCall {
  readonly protocol = "soap";
  readonly connection: Connection;
  readonly isSecure: boolean;
  /** Set once the envelope is read. */
  request: SoapRequest | undefined = undefined;
  isInPipeline = false;
  #credentials: Credentials;

  constructor(request: HttpRequest) {
    super(request.headers);
    this.connection = connectionOf(request);
    this.isSecure = isEncrypted(request);
    this.#credentials = { ...noCredentials, loginCookie: cookieIn(request.headers.cookie, cookieName) };
  }

  override get credentials(): Credentials {
    return this.#credentials;
  }

  use(credentials: Credentials): void {
    this.#credentials = credentials;
  }

  /** The text of an element of the request, by its path; "" when there is none. */
  text(path: TextPath): string {
    return this.request?.texts.get(path) ?? "";
  }
}
