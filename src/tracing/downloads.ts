import { SpanStatusCode } from "@opentelemetry/api";
import type { DownloadObserver, DownloadOutcome } from "../calls/download-record.ts";
import { isRead } from "../calls/http.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";
import { beginningOf } from "../telemetry/logged-id.ts";
import type { Spans } from "./spans.ts";

const route = "/download/{session}/{file}";

/** Serves each download in a span, which `tracedDownloadObserver` ends. */
export function tracedDownloadHandler(handler: ProtocolHandler, spans: Spans): ProtocolHandler {
  return {
    ...handler,
    serve(request, response, path) {
      const { method, headers } = request;
      if (!isRead(request)) return handler.serve(request, response, path);
      const attributes = () => ({ "http.request.method": method, "http.route": route });
      spans.serve(headers, `${method} ${route}`, attributes, () => handler.serve(request, response, path));
    },
  };
}

/** Outcomes for which the service or its storage is to blame. */
const faults: readonly DownloadOutcome[] = ["failed", "read_failed", "checksum_mismatch"];

export function tracedDownloadObserver(observer: DownloadObserver, spans: Spans): DownloadObserver {
  return {
    ...observer,
    finished(record) {
      const { outcome, status, bytesSent, peer, sessionId, fileName, error } = record;
      const { active: span, traceId } = spans;
      span?.setAttributes({
        "client.address": peer,
        "downlease.outcome": outcome,
        "downlease.sent_bytes": bytesSent,
        ...(status !== 0 && { "http.response.status_code": status }),
        ...(sessionId !== undefined && { "downlease.session": beginningOf(sessionId) }),
        ...(fileName !== undefined && { "downlease.file": fileName }),
        ...(error !== undefined && { "error.type": error.messageId }),
      });
      if (faults.includes(outcome)) span?.setStatus({ code: SpanStatusCode.ERROR });
      span?.end();
      observer.finished({ ...record, traceId });
    },
  };
}
