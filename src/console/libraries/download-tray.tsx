import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import { formatBytes } from "../parts/bytes.tsx";
import { Progress } from "../parts/progress.tsx";
import { dismiss, useDownloads } from "./downloads.ts";
import type { ItemDownload } from "./item-download.ts";
import "./download-tray.css";

/** The downloads of this page, with what can be done about each. */
export function DownloadTray() {
  const downloads = useDownloads();
  if (downloads.length === 0) return null;
  return (
    <aside className="tray" aria-label="Downloads">
      {downloads.map((download) => (
        <DownloadCard key={download.id} download={download} />
      ))}
    </aside>
  );
}

function DownloadCard({ download }: { readonly download: ItemDownload }) {
  const { status, files, problem, sessionId } = download.view;
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const rate = useRate(bytes);
  const isPreparing = files.some((file) => file.status === "preparing");
  const left = rate > 0 ? Math.ceil((total - bytes) / rate) : undefined;
  return (
    <article className="download" data-status={status}>
      <header>
        <strong>{download.itemName}</strong>
        {sessionId !== undefined && <Link href={`/sessions/${encodeURIComponent(sessionId)}`}>session</Link>}
        {download.isOver ? (
          <Button onPress={() => dismiss(download)}>Close</Button>
        ) : (
          <Button className="danger" onPress={() => download.cancel()}>
            Cancel
          </Button>
        )}
      </header>
      <Progress
        label={`Download of ${download.itemName}`}
        percent={total === 0 ? undefined : (bytes / total) * 100}
        text={`${formatBytes(bytes)} of ${formatBytes(total)}`}
      />
      <p className="fine" role="status">
        {status === "done" &&
          (files.every((file) => file.status === "verified") ? "Done, verified." : "Done.")}
        {status === "canceled" && "Canceled."}
        {status === "running" && isPreparing && "Preparing."}
        {status === "running" && !isPreparing && rate > 0 && `${formatBytes(rate)}/s`}
        {status === "running" && !isPreparing && left !== undefined && `, ${formatDuration(left)} left`}
      </p>
      {problem !== undefined && (
        <p className="problem" role={download.isOver ? "alert" : "status"}>
          {problem}
        </p>
      )}
    </article>
  );
}

/** Bytes a second, over the last seconds. */
function useRate(bytes: number): number {
  const latest = useRef(bytes);
  latest.current = bytes;
  const [rate, setRate] = useState(0);
  useEffect(() => {
    const samples: number[] = [latest.current];
    const timer = setInterval(() => {
      samples.push(latest.current);
      if (samples.length > 6) samples.shift();
      setRate((samples.at(-1)! - samples[0]!) / (samples.length - 1));
    }, 1_000);
    return () => clearInterval(timer);
  }, []);
  return rate;
}

function formatDuration(seconds: number): string {
  const duration = {
    hours: Math.floor(seconds / 3600),
    minutes: Math.floor(seconds / 60) % 60,
    seconds: seconds % 60,
  };
  return new Intl.DurationFormat(undefined, { style: "narrow" }).format(duration);
}
