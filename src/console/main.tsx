import { TransportProvider } from "@connectrpc/connect-query";
import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Router } from "wouter";
import { Console } from "./console.tsx";
import { IdentityProvider } from "./login/identity.tsx";
import { queryClient } from "./shell/queries.ts";
import { transport } from "./shell/transport.ts";
import "./styles/console.css";

createRoot(document.getElementById("console")!).render(
  <StrictMode>
    <TransportProvider transport={transport}>
      <QueryClientProvider client={queryClient}>
        <IdentityProvider>
          <Router base="/console">
            <Console />
          </Router>
        </IdentityProvider>
      </QueryClientProvider>
    </TransportProvider>
  </StrictMode>,
);
