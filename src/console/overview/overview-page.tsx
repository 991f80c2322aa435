import { Link } from "wouter";
import type { Overview, TopEntry } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { formatBytes } from "../parts/bytes.tsx";
import { Loading } from "../parts/loading.tsx";
import { PageTitle } from "../parts/page-title.tsx";
import { Problem } from "../parts/problem.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { type Line, Plot } from "./plot.tsx";
import { useOverview } from "./samples.ts";
import "./overview.css";

const sessionLines: readonly Line[] = [{ title: "active", color: "--accent", value: ({ active }) => active }];
const leaseLines: readonly Line[] = [
  { title: "renewed", color: "--accent", value: ({ renewedPerSecond }) => renewedPerSecond },
  { title: "granted", color: "--good", value: ({ grantedPerSecond }) => grantedPerSecond },
  { title: "expired", color: "--danger", value: ({ expiredPerSecond }) => expiredPerSecond },
];
const byteLines: readonly Line[] = [
  { title: "sent", color: "--accent", value: ({ bytesPerSecond }) => bytesPerSecond },
];
const downloadLines: readonly Line[] = [
  { title: "running", color: "--accent", value: ({ downloads }) => downloads },
];

const count = (value: number) => value.toLocaleString(undefined, { maximumFractionDigits: 1 });
const perSecond = (value: number) => `${count(value)}/s`;
const bytesPerSecond = (value: number) => `${formatBytes(value)}/s`;

/** The state of the service; what is wrong stands on top. */
export default function OverviewPage() {
  const { data, error } = useOverview();
  if (error !== null) return <Problem error={error} />;
  if (data?.overview === undefined) return <Loading label="Loading the overview" />;
  const { overview, samples } = data;
  return (
    <>
      <PageTitle title="Overview" />
      {overview.problems.map((problem) => (
        <p key={problem} className="problem" role="status">
          {problem}
        </p>
      ))}
      <Figures overview={overview} />
      <div className="plots">
        <Plot title="Sessions" samples={samples} lines={sessionLines} format={count} />
        <Plot title="Leases" samples={samples} lines={leaseLines} format={perSecond} />
        <Plot title="Downloads" samples={samples} lines={downloadLines} format={count} />
        <Plot
          title="Bytes of files"
          samples={samples}
          lines={byteLines}
          format={bytesPerSecond}
          scale={1024}
        />
      </div>
      <div className="tops">
        <Top title="Items" entries={overview.topItems} hrefOf={(id) => `/items/${encodeURIComponent(id)}`} />
        <Top
          title="Principals"
          entries={overview.topPrincipals}
          hrefOf={(id) => `/sessions?search=${encodeURIComponent(id)}`}
        />
        <Store overview={overview} />
      </div>
    </>
  );
}

function Figures({ overview }: { readonly overview: Overview }) {
  const figures = [
    { title: "Active", value: overview.activeSessions },
    { title: "End within a minute unless renewed", value: overview.expiringSessions },
    { title: "Canceled", value: overview.canceledSessions },
    { title: "Failed", value: overview.failedSessions },
    { title: "Replicas", value: BigInt(overview.replicas.length), href: "/replicas" },
  ];
  return (
    <>
      <dl className="figures">
        {figures.map(({ title, value, href }) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>
              {href === undefined ? (
                value.toLocaleString()
              ) : (
                <Link href={href}>{value.toLocaleString()}</Link>
              )}
            </dd>
          </div>
        ))}
      </dl>
      {overview.countedTime !== undefined && (
        <p className="fine">
          Sessions counted <Time time={overview.countedTime} />.
        </p>
      )}
    </>
  );
}

function Top({
  title,
  entries,
  hrefOf,
}: {
  readonly title: string;
  readonly entries: readonly TopEntry[];
  hrefOf(id: string): string;
}) {
  return (
    <section>
      <h2>{title} with the most sessions</h2>
      {entries.length === 0 ? (
        <p className="fine">There are no sessions.</p>
      ) : (
        <Table label={`${title} with the most sessions`} columns={[title, "Sessions"]}>
          {entries.map(({ id, name, sessions }) => (
            <tr key={id}>
              <th scope="row">
                <Link href={hrefOf(id)}>{name ?? id}</Link>
              </th>
              <td className="number">{sessions.toLocaleString()}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function Store({ overview: { store } }: { readonly overview: Overview }) {
  if (store === undefined) return null;
  const { kind, isReachable, isWritable, usedBytes, maxBytes } = store;
  return (
    <section>
      <h2>Store</h2>
      <dl className="facts">
        <dt>Kind</dt>
        <dd>{kind}</dd>
        <dt>State</dt>
        <dd>
          {isReachable && isWritable ? (
            "well"
          ) : (
            <strong className="bad">{isReachable ? "sessions can't be created" : "does not respond"}</strong>
          )}
        </dd>
        {usedBytes !== undefined && (
          <>
            <dt>Used</dt>
            <dd>
              {formatBytes(usedBytes)}
              {maxBytes !== undefined && ` of ${formatBytes(maxBytes)}`}
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}
