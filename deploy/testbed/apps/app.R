library(shiny)

ui <- fluidPage(
  titlePanel("Squares"),
  numericInput("n", "Numbers", value = 10, min = 1, max = 100),
  textOutput("sum"),
  plotOutput("plot")
)

server <- function(input, output) {
  output$sum <- renderText(paste("sum =", sum(seq_len(input$n)^2)))
  output$plot <- renderPlot(plot(seq_len(input$n)^2, type = "b"))
}

shinyApp(ui, server)
