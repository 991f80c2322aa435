import { lazy, type ReactNode, Suspense } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import { useIdentity } from "../login/identity.tsx";
import { useConnection } from "./connection.ts";
import { ThemeChoice } from "./theme.tsx";

const DownloadTray = lazy(async () => ({
  default: (await import("../libraries/download-tray.tsx")).DownloadTray,
}));

const pages = [
  { path: "/overview", title: "Overview", isForAdmins: true },
  { path: "/sessions", title: "Sessions" },
  { path: "/libraries", title: "Libraries" },
  { path: "/logins", title: "Logins and users", isForAdmins: true },
  { path: "/settings", title: "Settings", isForAdmins: true },
  { path: "/replicas", title: "Replicas", isForAdmins: true },
] as const;

/** What surrounds every page: the menu, who is logged in, and whether the service answers. */
export function Shell({ children }: { readonly children: ReactNode }) {
  const { identity, signOut } = useIdentity();
  const connection = useConnection();
  const isAdmin = identity.status === "signed in" && identity.isAdmin;
  return (
    <div className="shell">
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header>
        <strong>downlease</strong>
        <nav aria-label="Pages">
          {pages
            .filter((page) => isAdmin || !("isForAdmins" in page))
            .map(({ path, title }) => (
              <Link key={path} href={path} className={(isActive) => (isActive ? "active" : "")}>
                {title}
              </Link>
            ))}
        </nav>
        <ThemeChoice />
        {identity.status === "signed in" && (
          <span className="user">
            {identity.user}
            {identity.user !== "anonymous" && <Button onPress={() => void signOut()}>Log out</Button>}
          </span>
        )}
      </header>
      {connection === "lost" && (
        <p role="status" className="problem banner">
          The service does not answer. What you see may be old; it is asked again by itself.
        </p>
      )}
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      <Suspense>
        <DownloadTray />
      </Suspense>
    </div>
  );
}
