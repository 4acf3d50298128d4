package admin

import (
	"net/http"

	"meetzone/appliance/adminapi"
)

func (s *Server) listCertificates(*http.Request) (any, error) {
	list := s.cfg.Certificates.Certificates()
	if list == nil {
		list = []adminapi.Certificate{}
	}
	return adminapi.Certificates{Certificates: list}, nil
}

func (s *Server) requestCertificate(r *http.Request) (any, error) {
	asked, err := body[adminapi.SigningRequest](r)
	if err != nil {
		return nil, err
	}
	note(r, "%s", asked.Name)
	text, err := s.cfg.Certificates.RequestCertificate(asked)
	if err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("certificate requested", "name", asked.Name, "who", whoAsks(r))
	return adminapi.Signable{Request: text}, nil
}

func (s *Server) installCertificate(r *http.Request) (any, error) {
	asked, err := body[adminapi.InstallCertificate](r)
	if err != nil {
		return nil, err
	}
	note(r, "%s", asked.Name)
	if err := s.cfg.Certificates.InstallCertificate(asked); err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("certificate installed", "name", asked.Name, "who", whoAsks(r))
	return s.listCertificates(r)
}
